"""Floor 4: membership, push and reconciliation, and the messages they speak."""
