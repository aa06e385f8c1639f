"""What people have done, in chains of entries that nobody can change unseen."""
