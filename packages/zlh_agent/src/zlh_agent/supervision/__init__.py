"""Supervision: processes that are kept running, restarted with back-off, and stopped within a deadline."""
