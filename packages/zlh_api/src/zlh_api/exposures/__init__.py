"""Published ports of containers: who may open them, until when, and what listens there."""
