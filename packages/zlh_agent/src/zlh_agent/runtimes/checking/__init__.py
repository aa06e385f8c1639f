"""Whether installed files are what was installed: asked for, and about once a day."""
