"""Floor 4: what one node holds of a mesh: admission, fold, pen, and what peers are shown."""
