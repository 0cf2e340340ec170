"""
Making a home: of a new mesh, or of a new member of an existing one.

Both are complete on disk before anything is sent, and both may be repeated after a crash: what is
there already is used, never made a second time. A member that tries again shows the same bytes,
since two grants at the same place of the join key's log would be a fork, and neither would count.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from attrs import frozen

from capability.errors import CapabilityError
from capability.ids import NONCE_BYTES
from capability.keys import SeedSigner
from capability.limits import ENTRY_BYTES_MAX, LABEL_BYTES_MAX, TICKET_BYTES_MAX
from capability.ticket import Ticket, TicketFacts, decode_ticket, verify_ticket
from crdt.codec import decode, encode
from mesh.core.errors import Conflict, Precondition, UsageError
from mesh.core.inputs import Address
from mesh.core.records import PutMeta, Record
from mesh.replica.founding import (
    META_JOIN_SEED,
    META_MESH,
    META_NAME,
    founding,
    genesis_entry,
    member_grant,
    membership,
)
from mesh.storage import Home, SqliteStore

#: Where the ticket says that members listen: [[host, port]…].
META_TICKET_PEERS: Final = "tickets_peers"
_ADDRESSES_BYTES_MAX: Final = 16 * 1024


@frozen
class Made:
    """What a home is, once it is made."""

    home: Path
    mesh_id: bytes
    node_key: bytes
    name: str


def init_mesh(home_path: Path, name: str, wall_ms: int, *, node_name: str = "") -> Made:
    """
    Found a mesh; this node holds its one root key.

    Args:
        home_path: Must not hold a mesh yet. An identity that an interrupted attempt left is used.
        name: Of the mesh, ≤ 64 bytes; seen by all members, for ever.
        wall_ms: The present.
        node_name: Of this node; that of the mesh if it is empty.

    Raises:
        Conflict: The home belongs to a mesh, or another process uses it.
        UsageError: The name is too long.
        StorageError: The disk refused.
    """
    _check_name(name)
    _check_name(node_name)
    home = _home_at(home_path)
    with home.lock(), SqliteStore(home.database_path) as store:
        held = store.meta(META_MESH)
        if held is not None:
            raise Conflict(
                f"{home.path} belongs to the mesh {held.hex()[:8]} already",
                hint="use it (`mesh up`), or choose another --home",
            )
        _refuse_lost(home)
        signer = SeedSigner(home.seed())
        nonce = os.urandom(NONCE_BYTES)
        genesis = genesis_entry(signer, name, nonce=nonce, wall_ms=wall_ms)
        n = store.last_n() + 1
        store.commit(founding(genesis, n, mesh_name=name, name=node_name or name))
    return Made(home.path, genesis.id, signer.public, node_name or name)


def prepare_join(home_path: Path, ticket_text: str, name: str, wall_ms: int) -> Made:
    """
    Make everything that a new member needs before it dials: identity, chain, its own grant.

    A second call with the same ticket changes nothing but the addresses.

    Raises:
        UsageError: The ticket is mistyped, or does not hold what it says.
        Precondition: The ticket has expired.
        Denied: The join grant does not allow to admit this node.
        Conflict: The home belongs to another mesh, or another process uses it.
        StorageError: The disk refused.
    """
    _check_name(name)
    ticket, facts = read_ticket(ticket_text)
    home = _home_at(home_path)
    with home.lock(), SqliteStore(home.database_path) as store:
        signer = SeedSigner(home.seed())
        held = store.meta(META_MESH)
        if held is not None and held != ticket.mesh:
            raise Conflict(
                f"{home.path} belongs to the mesh {held.hex()[:8]}, the ticket is for "
                f"{ticket.mesh.hex()[:8]}",
                hint="choose another --home; one home is one node of one mesh",
            )
        records: list[Record] = [PutMeta(META_TICKET_PEERS, encode(ticket.addresses))]
        if held is None:
            _refuse_lost(home)
            refuse_expired(facts, wall_ms)
            grant = member_grant(ticket, facts, signer.public, name, wall_ms)
            records += membership(ticket, facts, grant, store.last_n() + 1, name=name)
        elif store.meta(META_JOIN_SEED) not in (None, ticket.seed):
            raise Conflict(
                f"{home.path} has begun to join this mesh with another ticket",
                hint="start it (`mesh up`) to go on with that one, or join from another --home",
            )
        store.commit(records)
        named = store.meta(META_NAME) or b""
    return Made(home.path, ticket.mesh, signer.public, named.decode())


def read_ticket(text: str) -> tuple[Ticket, TicketFacts]:
    """A ticket and what its chain shows. Raises UsageError if it is mistyped or false."""
    try:
        ticket = decode_ticket(text)
        return ticket, verify_ticket(ticket)
    except CapabilityError as error:
        # Its words end with the remedy. Without the traceback, whose frames hold the secret.
        what, _, remedy = str(error).partition("; ")
        raise UsageError(what, hint=remedy) from None


def refuse_expired(facts: TicketFacts, wall_ms: int) -> None:
    """Raises Precondition if a ticket is too old for its first use."""
    if facts.exp_ms <= wall_ms:
        raise Precondition(
            f"the ticket expired {(wall_ms - facts.exp_ms) // 1000} s ago",
            hint="ask for a new one; if it should still be valid, look at this machine's clock",
        )


def _home_at(path: Path) -> Home:
    home = Home(path)
    return Home.open(path) if home.exists else Home.create(path)


def _refuse_lost(home: Home) -> None:
    # Nodes have run here, so the key has signed entries. Whoever signed others in their place
    # would fork this node's log, and everything after the fork would stop counting.
    if home.log_path.exists():
        raise Precondition(
            f"the database of {home.path} is gone, and its key has been used",
            hint="put mesh.db back from a copy, or choose another --home for a new node",
        )


def _check_name(name: str) -> None:
    if len(name.encode()) > LABEL_BYTES_MAX:
        raise UsageError(f"a name has at most {LABEL_BYTES_MAX} bytes, got {len(name.encode())}")


def read_chain(data: bytes | None) -> tuple[bytes, ...]:
    """The encoded entries in a `join_chain` value; none if it is absent."""
    value = decode(data, size_max=TICKET_BYTES_MAX + ENTRY_BYTES_MAX) if data else ()
    assert isinstance(value, tuple)
    return tuple(item for item in value if isinstance(item, bytes))


def read_addresses(data: bytes | None) -> tuple[Address, ...]:
    """The addresses in a `tickets_peers` value; none if it is absent."""
    if not data:
        return ()
    value = decode(data, size_max=_ADDRESSES_BYTES_MAX)
    assert isinstance(value, tuple)
    found: list[Address] = []
    for pair in value:
        match pair:
            case (str(host), int(port)):
                found.append((host, port))
    return tuple(found)
