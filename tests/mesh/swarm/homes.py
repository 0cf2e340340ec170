"""Homes over memory stores: a founder's, and a ticket bearer's, as the node's set-up makes them."""

from __future__ import annotations

from capability import permissions
from capability.bodies import CAVEAT_CHILD_PERMS, CAVEAT_GRANTS, CAVEAT_ISSUE_BEFORE, JOIN
from capability.keys import SeedSigner
from capability.limits import NEVER_MS
from capability.ticket import Ticket, verify_ticket
from mesh.core.inputs import IssueGrant
from mesh.core.records import PutEntry, PutMeta
from mesh.replica.founding import member_grant, membership
from mesh.storage.memory import MemoryStore
from tests.mesh.replica.world import Mesh, seed
from tests.mesh.swarm.host import Host

HOUR_MS = 3_600_000


def founded(mesh: Mesh) -> MemoryStore:
    """The home of the mesh's root."""
    store = MemoryStore()
    store.commit([PutEntry(1, mesh.genesis, (), own=True), PutMeta("mesh_id", mesh.id)])
    return store


def invite(
    host: Host,
    *,
    word: str = "ticket",
    perms: int = permissions.MEMBER,
    uses: int = 1,
    ttl_ms: int = HOUR_MS,
    exp_ms: int = NEVER_MS,
) -> Ticket:
    """A ticket of *host*; *word* makes its key."""
    key = SeedSigner(seed(f"{host.name} {word}"))
    until_ms = host.now.wall_ms + ttl_ms
    replica = host.engine.replica
    request = IssueGrant(
        host.next_request(),
        key.public,
        JOIN,
        (replica.store.root,),
        perms | permissions.DELEGATE,
        8,
        exp_ms,
        (
            (CAVEAT_CHILD_PERMS, perms),
            (CAVEAT_GRANTS, uses),
            (CAVEAT_ISSUE_BEFORE, until_ms),
        ),
    )
    grant = host.ask(request).value
    assert isinstance(grant, bytes)
    chain = host.engine.replica.port.chain_of(grant)
    return Ticket(
        replica.mesh_id, replica.author, grant, seed(f"{host.name} {word}"), until_ms, (), "", chain
    )


def joining(ticket: Ticket, name: str, wall_ms: int) -> MemoryStore:
    """The home of *name*, who uses *ticket*: complete on disk before anything is dialled."""
    store = MemoryStore()
    facts = verify_ticket(ticket)
    key = SeedSigner(seed(name)).public
    grant = member_grant(ticket, facts, key, name, wall_ms)
    store.commit(membership(ticket, facts, grant, store.last_n() + 1, name=name))
    return store
