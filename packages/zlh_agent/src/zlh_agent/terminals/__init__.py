"""Terminals: shells of the customer, each held by a shim."""
