"""The signed catalog as the API knows it: what can be installed, and why something cannot."""
