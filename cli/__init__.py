"""The `mesh` command: each command talks to a running node, or opens the replica itself."""
