"""Who may do what: keys, signed entries, capability chains and the verdicts drawn from them."""
