"""The artifact publisher and server: recipes become hashed archives, a signed catalog says which of them to believe.

    recipe + source ─ build ──► archives/<name>/<name>-<version>-<platform>.tar.zst (+ .json record, SHA256SUMS)
    records ───────── publish ► targets/<sha256>.catalog.json, metadata/*.json (TUF, consistent snapshots)
    the whole tree ── serve ──► HTTP; any other web server can serve it as well

Nothing is imported here: `publish`, `keys` and `repack` bring tuf and zstandard, which no long-lived daemon may hold.
"""
