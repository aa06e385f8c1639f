"""What clients believe: keys, the signed catalog, and the decisions that change what is offered."""
