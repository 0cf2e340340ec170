"""Tests of crdt/: one law suite for all lattices, and each type against its naive definition."""
