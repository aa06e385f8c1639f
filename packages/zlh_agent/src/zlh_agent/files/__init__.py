"""A customer's files: touched by a child that has become the customer's user, below one folder, and by nobody else."""
