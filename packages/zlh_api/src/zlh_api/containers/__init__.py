"""Containers: what customers want, and the document that says what was seen."""
