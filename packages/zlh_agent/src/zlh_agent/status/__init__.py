"""The agent's whole report, and the stream that pushes it to the API on every change."""
