"""One install, from the signed catalog to the tree in its place: the work of a short-lived, confined child."""
