"""Floor 2: the values that machines, drivers and doors exchange, their bounds and errors."""
