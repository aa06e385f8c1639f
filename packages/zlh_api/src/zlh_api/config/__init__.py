"""The API's configuration: one frozen value, read once from one TOML file, every problem reported together."""
