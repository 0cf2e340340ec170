"""Homes on a world's disks: the founder's, those of members it admitted, and ticket bearers'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from capability import permissions
from capability.bodies import CAVEAT_CHILD_PERMS, CAVEAT_GRANTS, CAVEAT_ISSUE_BEFORE, JOIN
from capability.entry import Entry
from capability.keys import SeedSigner, Signer
from capability.limits import NEVER_MS
from capability.ticket import Ticket, verify_ticket
from mesh.core.inputs import IssueGrant
from mesh.core.records import PutEntry, PutMeta, Record
from mesh.replica.founding import (
    META_MESH,
    META_MESH_NAME,
    META_NAME,
    founding,
    genesis_entry,
    member_grant,
    membership,
)
from simulations.clock import WALL_MS_START
from simulations.disk import Disk

if TYPE_CHECKING:
    from simulations.host import Host

MESH_NAME: Final = "simulated"
#: Links below a member: as deep as a ticket's own default.
DEPTH_MAX: Final = 6
#: No run and no clock of one is so far off that a ticket would be refused for its age.
TICKET_MS: Final = 30 * 24 * 3_600_000


def found(disk: Disk, signer: Signer, name: str, nonce: bytes) -> Entry:
    """The home of the mesh's founder; the genesis."""
    genesis = genesis_entry(signer, MESH_NAME, nonce=nonce, wall_ms=WALL_MS_START)
    disk.store.commit(founding(genesis, 1, mesh_name=MESH_NAME, name=name))
    return genesis


def copy_of(host: Host, disk: Disk, name: str) -> None:
    """The home of a member that holds what *host* has on disk, and has signed nothing yet."""
    records: list[Record] = [
        PutEntry(stored.n, stored.entry, (), own=False) for stored in host.disk.store.entries()
    ]
    mesh_id = host.running.replica.mesh_id
    for key, value in (
        (META_MESH, mesh_id),
        (META_MESH_NAME, MESH_NAME.encode()),
        (META_NAME, name.encode()),
    ):
        records.append(PutMeta(key, value))
    disk.store.commit(records)


def admission(host: Host, audience: bytes, request: int, *, akind: int, label: str) -> IssueGrant:
    """The request by which *host* grants what a member may."""
    return IssueGrant(
        request,
        audience,
        akind,
        (host.running.replica.store.root,),
        permissions.MEMBER,
        DEPTH_MAX,
        NEVER_MS,
        label=label,
    )


def invitation(host: Host, key: SeedSigner, request: int) -> IssueGrant:
    """The request by which *host* grants a ticket to the key that it will carry."""
    until_ms = host.now.wall_ms + TICKET_MS
    return IssueGrant(
        request,
        key.public,
        JOIN,
        (host.running.replica.store.root,),
        permissions.MEMBER | permissions.DELEGATE,
        DEPTH_MAX,
        NEVER_MS,
        (
            (CAVEAT_CHILD_PERMS, permissions.MEMBER),
            (CAVEAT_GRANTS, 1),
            (CAVEAT_ISSUE_BEFORE, until_ms),
        ),
    )


def ticket_of(host: Host, grant: bytes, seed: bytes) -> Ticket:
    """The ticket whose grant *host* has issued."""
    replica = host.running.replica
    until_ms = host.now.wall_ms + TICKET_MS
    chain = replica.port.chain_of(grant)
    return Ticket(replica.mesh_id, replica.author, grant, seed, until_ms, (), "", chain)


def enter(host: Host, ticket: Ticket) -> None:
    """The home of *host*, who uses *ticket*: complete on disk before anything is dialled."""
    facts = verify_ticket(ticket, by=host.world.reading.scheme.verify)
    name, disk = host.name, host.disk
    grant = member_grant(ticket, facts, host.signer.public, name, host.now.wall_ms)
    disk.store.commit(membership(ticket, facts, grant, disk.store.last_n() + 1, name=name))
