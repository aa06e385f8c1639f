"""From recipes to hashed archives: sources of every kind, held to their hashes, become one reproducible tree each."""
