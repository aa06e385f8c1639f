"""Fakes: one per port, each able to misbehave to order. No mocks."""
