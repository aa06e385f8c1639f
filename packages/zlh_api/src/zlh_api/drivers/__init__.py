"""How guests are made: one small port, and a driver for each way of making them."""
