"""What a home begins with: its records, and the grant by which a ticket's bearer lets itself in."""

from __future__ import annotations

import pytest
from attrs import evolve

from capability import permissions
from capability.bodies import (
    CAVEAT_CHILD_PERMS,
    CAVEAT_DEPTH,
    JOIN,
    LIMIT_CHAIN_DEPTH,
    LIMIT_VOID_SUFFIX,
    MEMBER,
    Genesis,
    Scope,
    decode_genesis,
    decode_grant,
)
from capability.entry import Entry, verify_entry
from capability.ids import ZERO_ID, root_worknode, worknode_id
from capability.keys import SeedSigner
from capability.limits import AUTHORITY_SEQ_MAX, CHAIN_DEPTH_MAX, VOID_SUFFIX_MAX
from capability.ticket import Ticket, TicketFacts, verify_ticket
from crdt.codec import decode
from crdt.hlc import milliseconds, pack
from mesh.core.errors import Denied
from mesh.core.records import PutEntry, PutMeta
from mesh.replica.founding import founding, genesis_entry, member_grant, membership
from tests.mesh.replica.hand import hand, root_hand
from tests.mesh.replica.world import TODAY_MS, admit, new_mesh, node_of, seed

ME = SeedSigner(seed("me"))
DOOR = SeedSigner(seed("door"))


def ticket_of(**grant: object) -> tuple[Ticket, TicketFacts]:
    mesh = new_mesh()
    link = admit(mesh, DOOR.public, akind=JOIN, **grant)  # type: ignore[arg-type]
    chain = (mesh.genesis.encode(), link.encode())
    made = Ticket(mesh.id, mesh.root.public, link.id, seed("door"), 9, (), "acme", chain)
    return made, verify_ticket(made)


def let_in(ticket: Ticket, facts: TicketFacts, *, wall_ms: int = TODAY_MS + 9_000) -> Entry:
    return member_grant(ticket, facts, ME.public, "me", wall_ms)


def test_a_genesis_has_one_root_and_says_the_limits_that_hold() -> None:
    entry = genesis_entry(ME, "acme", nonce=b"n" * 16, wall_ms=TODAY_MS)
    verify_entry(entry, entry.id)
    assert (entry.header.hlc, entry.header.seq) == (pack(TODAY_MS, 0), 1)
    assert decode_genesis(entry.body) == Genesis(
        name="acme",
        nonce=b"n" * 16,
        roots=(ME.public,),
        m=1,
        next_roots=ZERO_ID,
        recovery=ZERO_ID,
        rules=1,
        features=0,
        limits=((1, AUTHORITY_SEQ_MAX), (LIMIT_VOID_SUFFIX, VOID_SUFFIX_MAX), (3, CHAIN_DEPTH_MAX)),
    )


def test_a_founders_home_begins_with_the_genesis_as_its_own() -> None:
    genesis = genesis_entry(ME, "acme", nonce=bytes(16), wall_ms=TODAY_MS)
    assert founding(genesis, 1, mesh_name="acmé", name="me") == [
        PutEntry(1, genesis, (), own=True),
        PutMeta("mesh_id", genesis.id),
        PutMeta("mesh_name", "acmé".encode()),
        PutMeta("name", b"me"),
    ]


def test_a_members_home_keeps_its_chain_beside_the_log() -> None:
    ticket, facts = ticket_of()
    grant = let_in(ticket, facts)
    entry, chain, *metas = membership(ticket, facts, grant, 1, name="mé")
    assert entry == PutEntry(1, facts.entries[0], (), own=False)
    assert isinstance(chain, PutMeta) and chain.key == "join_chain"
    assert decode(chain.value, size_max=9_999) == (*ticket.chain, grant.encode())
    assert metas == [
        PutMeta("mesh_id", ticket.mesh),
        PutMeta("mesh_name", b"acme"),
        PutMeta("name", "mé".encode()),
        PutMeta("join_seed", seed("door")),
    ]


def test_a_member_gets_what_the_ticket_has_and_no_caveat_of_its_own() -> None:
    ticket, facts = ticket_of(perms=permissions.ALL, exp_ms=TODAY_MS + 50_000)
    entry = let_in(ticket, facts)
    verify_entry(entry, ticket.mesh)
    header = entry.header
    assert (header.author, header.lane, header.seq) == (DOOR.public, 0, 1)
    assert (header.prev, header.leaf) == (ticket.mesh, ticket.grant)
    assert header.hlc == pack(TODAY_MS + 9_000, 0)
    grant = decode_grant(entry.body)
    root = root_worknode(ticket.mesh)
    assert (grant.audience, grant.akind, grant.label) == (ME.public, MEMBER, "me")
    assert (grant.scopes, grant.caveats) == ((Scope(0, (), root),), ())
    assert (grant.perms, grant.max_depth) == (permissions.ALL, 8)
    assert (grant.nbf_ms, grant.exp_ms) == (0, TODAY_MS + 50_000)


def test_each_scope_of_the_ticket_is_passed_on() -> None:
    root = root_worknode(new_mesh().id)
    wanted = sorted(
        (Scope(0, ((1, name),), b"") for name in (b"one", b"two")),
        key=lambda scope: _reached(root, scope),
    )
    scopes = tuple(evolve(scope, id=_reached(root, scope)) for scope in wanted)
    ticket, facts = ticket_of(scopes=scopes)
    found = decode_grant(let_in(ticket, facts).body).scopes
    assert found == (Scope(0, (), scopes[0].id), Scope(1, (), scopes[1].id))


def _reached(root: bytes, scope: Scope) -> bytes:
    for key_class, key in scope.steps:
        root = worknode_id(root, key_class, key)
    return root


def test_what_the_ticket_keeps_for_itself_is_not_passed_on() -> None:
    mask = permissions.READ | permissions.ADMIN
    ticket, facts = ticket_of(caveats=((CAVEAT_CHILD_PERMS, mask),))
    assert decode_grant(let_in(ticket, facts).body).perms == permissions.READ


def test_a_member_lets_itself_in_after_the_grant_it_rests_on_though_its_clock_is_behind() -> None:
    ticket, facts = ticket_of()
    entry = let_in(ticket, facts, wall_ms=TODAY_MS - 60_000)
    assert entry.header.hlc == facts.entries[-1].header.hlc + 1
    assert milliseconds(entry.header.hlc) == TODAY_MS


def test_it_is_the_last_grant_of_a_chain_that_is_rested_on() -> None:
    mesh = new_mesh()
    inviter = hand(mesh, "inviter")
    root = root_hand(mesh)
    link = root.grant(inviter)
    last = inviter.grant(DOOR.public, akind=JOIN, entry={"hlc": pack(TODAY_MS + 70_000, 3)})
    chain = tuple(entry.encode() for entry in (mesh.genesis, link, last))
    ticket = Ticket(mesh.id, inviter.author, last.id, seed("door"), 9, (), "acme", chain)
    entry = let_in(ticket, verify_ticket(ticket))
    assert entry.header.hlc == pack(TODAY_MS + 70_000, 4)


def test_a_member_who_let_itself_in_counts() -> None:
    ticket, facts = ticket_of()
    mesh = new_mesh()
    node = node_of(mesh, ME, [*facts.entries[1:], let_in(ticket, facts)])
    assert ME.public in node.replica.held.ledger.members()


@pytest.mark.parametrize(
    ("grant", "reason"),
    [
        ({"caveats": ((CAVEAT_DEPTH, 1),)}, "caveat_depth"),
        ({"perms": permissions.READ}, "no_delegate"),
        ({"caveats": ((99, None),)}, "caveat_unknown"),
    ],
)
def test_a_chain_that_lets_nobody_in_is_said_at_once(grant: dict[str, object], reason: str) -> None:
    ticket, facts = ticket_of(**grant)
    with pytest.raises(Denied, match=reason) as caught:
        let_in(ticket, facts)
    assert caught.value.hint == "ask whoever invited you for a new ticket"


def test_a_mesh_of_short_chains_lets_nobody_in_beyond_them() -> None:
    ticket, facts = ticket_of()
    short = evolve(facts, genesis=evolve(facts.genesis, limits=((LIMIT_CHAIN_DEPTH, 1),)))
    with pytest.raises(Denied):
        let_in(ticket, short)
