"""
What the log of a home begins with: a mesh's genesis, or a new member's chain and its own grant.

Pure: keys, nonces and the present are handed in. `mesh.node.setup` puts the records on disk, the
simulator into memory, so that both begin with the same bytes.
"""

from __future__ import annotations

from typing import Final

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
from capability.ids import ZERO_ID
from capability.keys import Signer
from capability.limits import AUTHORITY_SEQ_MAX, CHAIN_DEPTH_MAX, VOID_SUFFIX_MAX
from capability.ticket import Ticket, TicketFacts
from crdt.codec import encode
from crdt.hlc import pack
from mesh.core.errors import Denied
from mesh.core.records import PutEntry, PutMeta, Record

META_MESH: Final = "mesh_id"
META_NAME: Final = "name"
META_MESH_NAME: Final = "mesh_name"
#: The ticket's secret; it signs the join proof of each link until this node is admitted.
META_JOIN_SEED: Final = "join_seed"
#: The ticket's chain and the member grant made from it, encoded: what the hello shows.
META_JOIN_CHAIN: Final = "join_chain"
RULES_VERSION: Final = 1


def genesis_entry(signer: Signer, name: str, *, nonce: bytes, wall_ms: int) -> Entry:
    """The first entry of a new mesh, whose one root is *signer*; *nonce* is 16 random bytes."""
    body = Genesis(
        name=name,
        nonce=nonce,
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


def founding(genesis: Entry, n: int, *, mesh_name: str, name: str) -> list[Record]:
    """The records of a founder's home; the genesis stands under the local number *n*."""
    return [
        PutEntry(n, genesis, (), own=True),
        PutMeta(META_MESH, genesis.id),
        PutMeta(META_MESH_NAME, mesh_name.encode()),
        PutMeta(META_NAME, name.encode()),
    ]


def membership(
    ticket: Ticket, facts: TicketFacts, grant: Entry, n: int, *, name: str
) -> list[Record]:
    """The records of a new member's home; the genesis stands under the local number *n*."""
    # Only the genesis has its place yet: the links stand in logs whose earlier entries are not
    # here, so the chain is kept beside the log and taken in when repair has filled the gap.
    chain = tuple(entry.encode() for entry in (*facts.entries, grant))
    return [
        PutEntry(n, facts.entries[0], (), own=False),
        PutMeta(META_JOIN_CHAIN, encode(chain)),
        PutMeta(META_MESH, ticket.mesh),
        PutMeta(META_MESH_NAME, facts.genesis.name.encode()),
        PutMeta(META_NAME, name.encode()),
        PutMeta(META_JOIN_SEED, ticket.seed),
    ]


def member_grant(
    ticket: Ticket, facts: TicketFacts, node_key: bytes, name: str, wall_ms: int
) -> Entry:
    """
    The entry by which the join key admits *node_key*, at seq 1 of its authority lane.

    Raises:
        Denied: The ticket's chain does not allow it, so that nobody would let it count.
    """
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
