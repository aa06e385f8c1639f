"""The customer's folder that the component tests have, while somebody attacks."""

from component.files.conftest import ground, root, service

__all__ = ["ground", "root", "service"]
