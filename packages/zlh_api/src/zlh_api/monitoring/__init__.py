"""What an operator watches: the figures of the platform and of this process, for Prometheus."""
