"""Floor 6: TCP connections and the discovery of addresses. What flows over them is not known here."""
