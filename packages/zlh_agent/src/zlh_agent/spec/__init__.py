"""What the API wants of this container, kept on disk, and the loop that makes it so."""
