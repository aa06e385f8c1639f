"""Guards that are always on: what a test must never do, whatever it tests. Each is proved to bite by a test."""
