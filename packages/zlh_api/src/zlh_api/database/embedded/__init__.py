"""A PostgreSQL of our own: `server` runs it, as the user that `runner` chooses, with what `settings` say."""
