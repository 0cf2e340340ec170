"""Floor 8: what doors share: one table of operations, HTTP over a Unix socket, importers."""
