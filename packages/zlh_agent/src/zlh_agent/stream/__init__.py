"""What the agent says unasked: its status, what happens, and what is used, on one WebSocket."""
