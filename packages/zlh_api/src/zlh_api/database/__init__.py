"""PostgreSQL: the only state of the API. `embedded` runs one of our own where nobody has given a DSN."""
