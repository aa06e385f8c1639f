"""Terminals: shells that outlive the agent, their history on disk, and the sockets that show them."""
