"""The place of the simulator, which will host `mesh.engine` in virtual time. Nothing yet."""
