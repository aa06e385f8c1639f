"""Runtimes of a container that exists: wishes go into its spec, questions about what is installed go to its agent."""
