"""Game servers: what a customer has chosen of a template, what their agent is told of it, and how players get there."""
