"""Archives of customers' files: made and unpacked by a confined child, told about by the agent."""
