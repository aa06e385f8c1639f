"""A cluster of Proxmox VE as its API and its shells show it, as far as the real one is known, bad days included."""
