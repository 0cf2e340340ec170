"""`mesh init`: a new mesh."""

from __future__ import annotations

import platform
import time

import click

from cli.app import App, command


def host_name() -> str:
    """What this machine calls itself, for a node that was given no name."""
    return platform.node().partition(".")[0] or "node"


@command("init")
@click.option("--name", metavar="NAME", help="Of the mesh and of this node. Default: the host's.")
@click.option("--node-name", metavar="NAME", help="Of this node, if it is to have another name.")
def init(app: App, name: str | None, node_name: str | None) -> None:
    """
    Make a new mesh, with this node as its root.

    The identity and the mesh are in the home afterwards; `mesh up` starts the node.
    """
    from mesh.node.setup import init_mesh  # noqa: PLC0415 - the formats and their keys

    name = name or host_name()
    now_ms = time.time_ns() // 1_000_000
    made = init_mesh(app.home.path, name, now_ms, node_name=node_name or "")
    data = {
        "mesh_id": made.mesh_id.hex(),
        "node_id": made.node_key.hex(),
        "name": made.name,
        "mesh_name": name,
    }
    app.done(
        data,
        f"✓ mesh {name} ({data['mesh_id'][:8]}), this is its node {made.name} "
        f"({data['node_id'][:8]})\n"
        f"  home: {made.home}\n"
        "  next: mesh up, then mesh invite",
    )
