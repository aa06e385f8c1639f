"""Books against the world: what the database says beside what driver, routes and DNS show."""
