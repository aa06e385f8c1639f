"""HTTP between API and agent: mutual TLS, problem documents, one log line a request."""
