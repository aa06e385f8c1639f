"""What the ZLH agent and the ZLH API share: the words they say to each other, and how both mean one process."""

__version__ = "0.1.0"
