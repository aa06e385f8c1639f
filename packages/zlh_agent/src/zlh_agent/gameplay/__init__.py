"""What goes on in a game server: who plays, how it does, and what is said to it."""
