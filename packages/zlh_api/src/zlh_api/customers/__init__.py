"""Who uses the platform: customers, the people in them, their roles, sessions and tokens."""
