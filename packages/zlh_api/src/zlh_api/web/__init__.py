"""HTTP: how an endpoint is declared, who may call it, and how its answers and errors look."""
