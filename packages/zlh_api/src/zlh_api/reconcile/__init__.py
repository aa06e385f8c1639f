"""Makes true what customers want: claim a container, compare wanted with seen, take one idempotent step."""
