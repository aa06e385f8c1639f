"""How much each customer may have, and how much they have."""
