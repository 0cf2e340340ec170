"""A small deterministic world of engines: hosts over memory, links that break, time that jumps."""
