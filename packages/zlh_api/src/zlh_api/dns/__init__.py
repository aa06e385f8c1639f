"""DNS records: which a container needs, and the providers that hold them."""
