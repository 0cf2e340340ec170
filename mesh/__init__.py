"""
A node of the mesh: worknodes, replica, gossip, engine, and the drivers around them.

`import mesh` stays cheap. Names that need trio are resolved when they are first asked for.
"""
