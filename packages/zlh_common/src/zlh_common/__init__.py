"""What the ZLH agent and the ZLH API share: the words they say to each other and nothing that acts."""

__version__ = "0.1.0"
