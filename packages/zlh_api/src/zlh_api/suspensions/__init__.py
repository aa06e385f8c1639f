"""Customers that the platform holds back: what they have stops, and comes back as it was."""
