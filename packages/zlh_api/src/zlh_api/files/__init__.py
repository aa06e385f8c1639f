"""Files of containers: what is asked of agents, and their bytes on their way."""
