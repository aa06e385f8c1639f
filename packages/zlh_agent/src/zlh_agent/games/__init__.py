"""Game servers: their files, configuration, scripts and backups, and the process `server` that they are."""
