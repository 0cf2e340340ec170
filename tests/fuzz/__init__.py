"""Coverage-guided fuzzing of every decoder that bytes from outside reach: `python -m tests.fuzz`."""
