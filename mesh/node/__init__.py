"""Floor 7: what drives the engine with sockets, disk and clocks, and `open_node` over it all."""
