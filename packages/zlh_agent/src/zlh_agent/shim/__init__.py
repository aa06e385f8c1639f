"""Shims: the small processes that own terminals and outlive the agent, and the agent's end of them."""
