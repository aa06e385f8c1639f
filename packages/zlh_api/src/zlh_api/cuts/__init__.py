"""Connections that must end: the proxy keeps what was upgraded after route and right are gone, so agents cut it off."""
