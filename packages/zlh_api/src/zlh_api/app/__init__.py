"""The composition root of the API: makes the parts and joins them, and decides nothing."""
