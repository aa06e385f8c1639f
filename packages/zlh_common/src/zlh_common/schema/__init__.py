"""Wire structs: every shape that crosses a socket between portal, API, agent and publisher, declared here alone.

JSON is camelCase on the wire and snake_case in Python. A `Request` refuses unknown fields, because a typing mistake of
a caller must not be ignored; a `Report` ignores them, because an older reader meets a newer writer.
"""
