"""What happened in a container and what it used, as its agent tells it: taken once, bounded, kept for a while."""
