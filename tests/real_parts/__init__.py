"""Servers of others that tests run as their own children: on loopback, with state in a folder of the test."""
