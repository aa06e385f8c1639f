"""The agent's own identity: which certificate it shows, and how another takes its place while it runs."""
