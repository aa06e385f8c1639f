"""How the API speaks with agents: the two private CAs, the calls, the links that stay open, and the console proxy."""
