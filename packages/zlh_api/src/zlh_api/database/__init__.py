"""PostgreSQL, the only state of the API: connections, schema, and the embedded server of small installations."""
