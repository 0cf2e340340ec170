"""Real processes of the `mesh` command, in real networks."""
