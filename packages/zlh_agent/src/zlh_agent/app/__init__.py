"""The composition of the agent: joins its parts, says what it answers and how long it runs, and decides nothing."""
