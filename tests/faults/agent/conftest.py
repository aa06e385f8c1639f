"""The same shop, origin and agent as the component tests have."""

from component.agent.conftest import agent, certificates, origin, shop, unstarted

__all__ = ["agent", "certificates", "origin", "shop", "unstarted"]
