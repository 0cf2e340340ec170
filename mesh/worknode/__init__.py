"""Floor 3: what a Worknode is: cells, the fold's store, kinds with schemas, views."""
