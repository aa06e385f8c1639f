"""The agent's whole report, put together anew for each who asks."""
