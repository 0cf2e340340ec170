"""Imports from other trackers: pure plans of writes against what the mesh holds."""
