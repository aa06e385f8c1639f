"""The whole platform on one machine: real PostgreSQL, real Traefik, the artifact server and the API, one command."""
