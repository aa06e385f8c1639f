"""Where versions of game servers come from: what their makers publish, asked once and pinned."""
