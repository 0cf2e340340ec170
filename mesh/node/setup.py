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

from capability.authority import Authority, derive, root_authority
from capability.bodies import (
    CAVEAT_CHILD_PERMS,
    LIMIT_AUTHORITY_SEQ,
    LIMIT_CHAIN_DEPTH,
    LIMIT_VOID_SUFFIX,
    MEMBER,
    Genesis,
    Grant,
    Scope,
    decode_grant,
)
from capability.entry import KIND_GENESIS, KIND_GRANT, LANE_AUTHORITY, Entry, make_entry
from capability.errors import CapabilityError
from capability.ids import NONCE_BYTES, ZERO_ID
from capability.keys import SeedSigner, Signer
from capability.limits import (
    AUTHORITY_SEQ_MAX,
    CHAIN_DEPTH_MAX,
    ENTRY_BYTES_MAX,
    LABEL_BYTES_MAX,
    TICKET_BYTES_MAX,
    VOID_SUFFIX_MAX,
)
from capability.ticket import Ticket, TicketFacts, decode_ticket, verify_ticket
from crdt.codec import decode, encode
from crdt.hlc import pack
from mesh.core.errors import Conflict, Denied, Precondition, UsageError
from mesh.core.inputs import Address
from mesh.core.records import PutEntry, PutMeta, Record
from mesh.storage import Home, SqliteStore

META_MESH: Final = "mesh_id"
META_NAME: Final = "name"
META_MESH_NAME: Final = "mesh_name"
#: The ticket's secret; it signs the join proof of each link until this node is admitted.
META_JOIN_SEED: Final = "join_seed"
#: The ticket's chain and the member grant made from it, encoded: what the hello shows.
META_JOIN_CHAIN: Final = "join_chain"
#: Where the ticket says that members listen: [[host, port]…].
META_TICKET_PEERS: Final = "tickets_peers"
RULES_VERSION: Final = 1
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
        genesis = _genesis(signer, name, wall_ms)
        records: list[Record] = [
            PutEntry(store.last_n() + 1, genesis, (), own=True),
            PutMeta(META_MESH, genesis.id),
            PutMeta(META_MESH_NAME, name.encode()),
            PutMeta(META_NAME, (node_name or name).encode()),
        ]
        store.commit(records)
    return Made(home.path, genesis.id, signer.public, node_name or name)


def _genesis(signer: Signer, name: str, wall_ms: int) -> Entry:
    body = Genesis(
        name=name,
        nonce=os.urandom(NONCE_BYTES),
        roots=(signer.public,),
        m=1,
        next_roots=ZERO_ID,
        recovery=ZERO_ID,
        rules=RULES_VERSION,
        features=0,
        # Written out, although they are the defaults: a verdict may depend on nothing else.
        limits=(
            (LIMIT_AUTHORITY_SEQ, AUTHORITY_SEQ_MAX),
            (LIMIT_VOID_SUFFIX, VOID_SUFFIX_MAX),
            (LIMIT_CHAIN_DEPTH, CHAIN_DEPTH_MAX),
        ),
    ).encode()
    return make_entry(
        signer,
        mesh_id=ZERO_ID,
        lane=LANE_AUTHORITY,
        seq=1,
        prev=ZERO_ID,
        hlc=pack(wall_ms, 0),
        kind=KIND_GENESIS,
        leaf=b"",
        body=body,
    )


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
    try:
        ticket = decode_ticket(ticket_text)
        facts = verify_ticket(ticket)
    except CapabilityError as error:
        # Its words end with the remedy. Without the traceback, whose frames hold the secret.
        what, _, remedy = str(error).partition("; ")
        raise UsageError(what, hint=remedy) from None
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
            _refuse_expired(facts, wall_ms)
            grant = _member_grant(ticket, facts, signer.public, name, wall_ms)
            records += _membership(store, ticket, facts, grant, name)
        elif store.meta(META_JOIN_SEED) not in (None, ticket.seed):
            raise Conflict(
                f"{home.path} has begun to join this mesh with another ticket",
                hint="start it (`mesh up`) to go on with that one",
            )
        store.commit(records)
        named = store.meta(META_NAME) or b""
    return Made(home.path, ticket.mesh, signer.public, named.decode())


def _membership(
    store: SqliteStore,
    ticket: Ticket,
    facts: TicketFacts,
    grant: Entry,
    name: str,
) -> list[Record]:
    # Only the genesis has its place yet: the links stand in logs whose earlier entries are not
    # here, so the chain is kept beside the log and taken in when repair has filled the gap.
    chain = tuple(entry.encode() for entry in (*facts.entries, grant))
    return [
        PutEntry(store.last_n() + 1, facts.entries[0], (), own=False),
        PutMeta(META_JOIN_CHAIN, encode(chain)),
        PutMeta(META_MESH, ticket.mesh),
        PutMeta(META_MESH_NAME, facts.genesis.name.encode()),
        PutMeta(META_NAME, name.encode()),
        PutMeta(META_JOIN_SEED, ticket.seed),
    ]


def _member_grant(
    ticket: Ticket, facts: TicketFacts, node_key: bytes, name: str, wall_ms: int
) -> Entry:
    """The entry by which the join key admits *node_key*, at seq 1 of its authority lane."""
    join = facts.grant
    mask = join.caveat(CAVEAT_CHILD_PERMS)
    grant = Grant(
        audience=node_key,
        akind=MEMBER,
        scopes=tuple(Scope(i, (), scope.id) for i, scope in enumerate(join.scopes)),
        perms=join.perms & mask if type(mask) is int else join.perms,
        max_depth=join.max_depth,
        nbf_ms=join.nbf_ms,
        exp_ms=join.exp_ms,
        caveats=(),
        label=name,
    )
    entry = make_entry(
        ticket.signer(),
        mesh_id=ticket.mesh,
        lane=LANE_AUTHORITY,
        seq=1,
        prev=ticket.mesh,
        # Later than the grant it rests on, even if this machine's clock is behind the inviter's.
        hlc=max(pack(wall_ms, 0), facts.entries[-1].header.hlc + 1),
        kind=KIND_GRANT,
        leaf=ticket.grant,
        body=grant.encode(),
    )
    _refuse_widening(ticket, facts, entry, grant)
    return entry


def _refuse_widening(ticket: Ticket, facts: TicketFacts, entry: Entry, grant: Grant) -> None:
    # What would not count with anybody is better said here than found out by waiting.
    depth_max = facts.genesis.limit(LIMIT_CHAIN_DEPTH, CHAIN_DEPTH_MAX)
    authority = root_authority(ticket.mesh, depth_max=depth_max)
    links = [(link, decode_grant(link.body)) for link in facts.entries[1:]]
    for link, body in (*links, (entry, grant)):
        derived = derive(authority, body, header=link.header, grant_id=link.id)
        if not isinstance(derived, Authority):
            raise Denied(
                f"the ticket's chain does not allow this node in: {derived.name.lower()}",
                hint="ask whoever invited you for a new ticket",
            )
        authority = derived


def _refuse_expired(facts: TicketFacts, wall_ms: int) -> None:
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
