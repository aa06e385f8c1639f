"""The agent of its own process that the component tests have, and a place for supervised processes."""

from component.agent.conftest import agent, certificates, origin, shop, unstarted
from component.supervision.conftest import keeper

__all__ = ["agent", "certificates", "keeper", "origin", "shop", "unstarted"]
