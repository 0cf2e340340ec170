"""What the promises about speed and size rest on: `python -m tests.bench`."""
