"""Floor 6: TCP connections and the discovery of addresses, whatever may flow over them."""
