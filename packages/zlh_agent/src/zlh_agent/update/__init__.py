"""How the agent brings itself to another version: fetched, switched to, proved, and undone where it does not do."""
