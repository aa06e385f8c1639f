"""Who may open what is published: browsers sign in at container hosts, and no container sees the platform's session."""
