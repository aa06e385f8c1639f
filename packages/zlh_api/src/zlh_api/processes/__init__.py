"""Supervised processes as customers ask for them: definitions in the spec of a container, commands to its agent."""
