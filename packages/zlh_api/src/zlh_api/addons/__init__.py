"""Addons of dev containers that exist: enable, upgrade, go back, verify, repair, remove."""
