"""Stands in the way of the library of this name, which no agent in a container has."""

raise ImportError
