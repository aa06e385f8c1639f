"""Once: a request that makes something is carried out once for each Idempotency-Key, however often it is sent."""
