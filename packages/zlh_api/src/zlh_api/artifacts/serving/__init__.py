"""The tree over HTTP, by a server of its own or by the API; any other web server can do it as well."""
