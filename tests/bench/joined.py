"""Two homes of one mesh, as `mesh init`, `invite` and `join` make them, without the commands."""

from __future__ import annotations

import os
from pathlib import Path

from capability.bodies import CAVEAT_CHILD_PERMS, CAVEAT_GRANTS, JOIN
from capability.ids import root_worknode
from capability.keys import SeedSigner
from capability.permissions import DELEGATE, MEMBER
from capability.ticket import Ticket
from mesh.node.clock import wall_ms
from mesh.node.node import Node
from mesh.node.setup import init_mesh

LOOPBACK = (("127.0.0.1", 0),)


def founded(path: Path) -> Path:
    """A home that founded the mesh."""
    init_mesh(path, "bench", wall_ms(), node_name=path.name)
    return path


async def ticket_of(node: Node) -> Ticket:
    """A ticket for one new member."""
    seed = os.urandom(32)
    expires = wall_ms() + 600_000
    grant = await node.issue_grant(
        SeedSigner(seed).public,
        akind=JOIN,
        scopes=[root_worknode(node.mesh_id)],
        perms=MEMBER | DELEGATE,
        max_depth=8,
        exp_ms=expires,
        caveats=[(CAVEAT_CHILD_PERMS, MEMBER), (CAVEAT_GRANTS, 1)],
    )
    assert isinstance(grant, bytes)
    return Ticket(
        mesh=node.mesh_id,
        inviter=node.node_key,
        grant=grant,
        seed=seed,
        exp_ms=expires,
        addresses=node.listen_addresses,
        name=node.name,
        chain=node.replica.port.chain_of(grant),
    )
