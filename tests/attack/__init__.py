"""Attacks that were tried on this project, each of which must stay without success."""
