"""The ZLH agent: the daemon inside each container."""

__version__ = "0.1.0"
