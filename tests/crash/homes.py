"""Two homes of one mesh on this machine, and what it takes to run nodes on them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from capability.bodies import CAVEAT_CHILD_PERMS, CAVEAT_GRANTS, JOIN
from capability.ids import root_worknode
from capability.keys import SeedSigner
from capability.permissions import DELEGATE, MEMBER
from capability.ticket import Ticket
from mesh.node.clock import wall_ms
from mesh.node.node import Node
from mesh.node.setup import init_mesh, prepare_join
from mesh.storage import Home, SqliteStore

LOOPBACK = (("127.0.0.1", 0),)
#: Nodes on one machine agree in milliseconds; a test machine may have other things to do.
AGREE_S_MAX = 30.0


def found(path: Path) -> Path:
    """A home that founds a mesh."""
    init_mesh(path, "acme", wall_ms(), node_name=path.name)
    return path


async def grant_join(node: Node, join_key: bytes, *, expires_ms: int) -> bytes:
    """The grant behind a ticket for one new member."""
    granted = await node.issue_grant(
        join_key,
        akind=JOIN,
        scopes=[root_worknode(node.mesh_id)],
        perms=MEMBER | DELEGATE,
        max_depth=8,
        exp_ms=expires_ms,
        caveats=[(CAVEAT_CHILD_PERMS, MEMBER), (CAVEAT_GRANTS, 1)],
    )
    assert isinstance(granted, bytes)
    return granted


async def ticket_of(node: Node) -> str:
    """A ticket of a founder's."""
    seed, expires_ms = os.urandom(32), wall_ms() + 600_000
    granted = await grant_join(node, SeedSigner(seed).public, expires_ms=expires_ms)
    with SqliteStore(node.home.database_path) as store:
        entries = [stored.entry for stored in store.entries()]
    (join,) = [entry for entry in entries if entry.id == granted]
    ticket = Ticket(
        mesh=node.mesh_id,
        inviter=node.node_key,
        grant=join.id,
        seed=seed,
        exp_ms=expires_ms,
        addresses=node.listen_addresses,
        name=node.name,
        chain=(entries[0].encode(), join.encode()),
    )
    return ticket.encode()


async def invite(node: Node, path: Path) -> Path:
    """A home that is ready to join; nothing has been sent yet."""
    prepare_join(path, await ticket_of(node), path.name, wall_ms())
    return path


def signer_of(home: Path) -> SeedSigner:
    return SeedSigner(Home(home).seed())


async def is_member(node: Node) -> None:
    """Return once the node may write."""
    with trio.fail_after(AGREE_S_MAX):
        while not node.replica.own_chain():  # noqa: ASYNC110
            await trio.sleep(0.005)


async def agree(*nodes: Node) -> bytes:
    """Return once all hold the same entries and have the same state hash."""
    with trio.move_on_after(AGREE_S_MAX):
        while True:
            frontiers = {node.replica.frontier_hash() for node in nodes}
            hashes = {node.replica.state_hash() for node in nodes}
            if len(frontiers) == len(hashes) == 1:
                return hashes.pop()
            await trio.sleep(0.01)
    told = "\n".join(map(_standing, nodes))
    raise AssertionError(f"not equal within {AGREE_S_MAX} s:\n{told}")


def _standing(node: Node) -> str:
    """Where a node stands, for the words of a failure."""
    replica = node.replica
    hashes = (replica.frontier_hash().hex()[:8], replica.state_hash().hex()[:8])
    rows = [
        (key[0].hex()[:8], key[1], replica.port.row(*key).seq)
        for key in replica.held.ledger.lanes()
    ]
    status = node.status()
    names = ("writing", "blocked", "peers", "dials", "goodbyes", "refusals", "inputs_waiting")
    told = {name: status[name] for name in names}
    return f"{node.name} {hashes} {replica.counts()} {sorted(rows)} {told}"


@contextmanager
def full(node: Node) -> Iterator[None]:
    """SQLite may not use one page more, as when the disk has none left."""
    writer = node._parts.driver._store._writer
    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages}")
    yield
    writer.execute(f"PRAGMA max_page_count = {2**32 - 2}")
