"""Homes of new meshes and of new members: complete before anything is sent, and repeatable."""

from __future__ import annotations

from pathlib import Path

import pytest

from capability.authority import Authority, derive, root_authority
from capability.bodies import (
    CAVEAT_CHILD_PERMS,
    CAVEAT_GRANTS,
    CAVEAT_ISSUE_BEFORE,
    JOIN,
    MEMBER,
    Grant,
    Scope,
    decode_genesis,
    decode_grant,
)
from capability.entry import (
    KIND_GENESIS,
    KIND_GRANT,
    Entry,
    decode_entry,
    make_entry,
    verify_entry,
)
from capability.ids import root_worknode
from capability.keys import SeedSigner
from capability.limits import CHAIN_DEPTH_MAX, NEVER_MS
from capability.permissions import ALL, DELEGATE, READ, WRITE
from capability.ticket import Ticket
from crdt.hlc import pack
from mesh.core.errors import Conflict, Denied, Precondition, UsageError
from mesh.node import setup
from mesh.storage import Home, SqliteStore

NOW = 1_800_000_000_000
SEED = b"s" * 32


def ticket_of(home: Path, *, before_ms: int = NOW + 1000, perms: int = ALL) -> Ticket:
    """An invitation by the root of the mesh in *home*."""
    with SqliteStore(Home.open(home).database_path) as store:
        genesis = store.entry(1)
    assert genesis is not None
    root = SeedSigner(Home.open(home).seed())
    grant = Grant(
        audience=SeedSigner(SEED).public,
        akind=JOIN,
        scopes=(Scope(0, (), root_worknode(genesis.id)),),
        perms=perms,
        max_depth=CHAIN_DEPTH_MAX,
        nbf_ms=0,
        exp_ms=NEVER_MS,
        caveats=(
            (CAVEAT_CHILD_PERMS, READ | WRITE),
            (CAVEAT_GRANTS, 1),
            (CAVEAT_ISSUE_BEFORE, before_ms),
        ),
        label="",
    )
    entry = make_entry(
        root,
        mesh_id=genesis.id,
        lane=0,
        seq=2,
        prev=genesis.id,
        hlc=pack(NOW, 1),
        kind=KIND_GRANT,
        leaf=b"",
        body=grant.encode(),
    )
    return Ticket(
        mesh=genesis.id,
        inviter=root.public,
        grant=entry.id,
        seed=SEED,
        exp_ms=before_ms,
        addresses=(("192.0.2.1", 7700),),
        name="acme",
        chain=(genesis.encode(), entry.encode()),
    )


def chain_of(store: SqliteStore) -> list[Entry]:
    return [decode_entry(data) for data in setup.read_chain(store.meta("join_chain"))]


def test_a_new_mesh_has_its_genesis_on_disk(tmp_path: Path) -> None:
    made = setup.init_mesh(tmp_path / "a", "acme", NOW, node_name="alpha")
    with SqliteStore(Home.open(tmp_path / "a").database_path) as store:
        entry = store.entry(1)
        assert entry is not None
        assert entry.id == made.mesh_id == store.meta("mesh_id")
        assert (entry.header.kind, entry.header.author) == (KIND_GENESIS, made.node_key)
        assert decode_genesis(entry.body).roots == (made.node_key,)
        assert decode_genesis(entry.body).name == "acme"
        assert store.meta("name") == b"alpha"
        verify_entry(entry, made.mesh_id)


def test_a_home_has_one_mesh_for_ever(tmp_path: Path) -> None:
    setup.init_mesh(tmp_path / "a", "acme", NOW)
    with pytest.raises(Conflict, match="belongs to the mesh"):
        setup.init_mesh(tmp_path / "a", "other", NOW)
    setup.init_mesh(tmp_path / "b", "other", NOW)
    text = ticket_of(tmp_path / "b").encode()
    with pytest.raises(Conflict, match="the ticket is for"):
        setup.prepare_join(tmp_path / "a", text, "x", NOW)


def test_an_interrupted_start_keeps_its_identity(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "a")
    made = setup.init_mesh(tmp_path / "a", "acme", NOW)
    assert made.node_key == SeedSigner(home.seed()).public


def test_a_key_that_was_used_is_not_used_anew_when_its_database_is_gone(tmp_path: Path) -> None:
    setup.init_mesh(tmp_path / "b", "other", NOW)
    text = ticket_of(tmp_path / "b").encode()
    home = Home(setup.init_mesh(tmp_path / "a", "acme", NOW).home)
    home.log_path.write_text("a node has run here\n")
    home.database_path.unlink()
    with pytest.raises(Precondition, match="is gone, and its key"):
        setup.init_mesh(home.path, "acme", NOW)
    with pytest.raises(Precondition, match="is gone, and its key"):
        setup.prepare_join(home.path, text, "x", NOW)


def test_a_member_has_its_grant_on_disk_before_it_dials(tmp_path: Path) -> None:
    founded = setup.init_mesh(tmp_path / "a", "acme", NOW)
    ticket = ticket_of(tmp_path / "a")
    made = setup.prepare_join(tmp_path / "b", ticket.encode(), "beta", NOW)
    assert made.mesh_id == founded.mesh_id
    assert made.node_key != founded.node_key
    with SqliteStore(Home.open(tmp_path / "b").database_path) as store:
        # The log holds the genesis alone: the links have no place in it before repair.
        assert [stored.entry.id for stored in store.entries()] == [made.mesh_id]
        _, join, member = chain_of(store)
        assert store.meta("join_seed") == SEED
        assert setup.read_addresses(store.meta("tickets_peers")) == (("192.0.2.1", 7700),)
    assert join.id == ticket.grant
    grant = decode_grant(member.body)
    assert (member.header.author, member.header.seq) == (SeedSigner(SEED).public, 1)
    assert (grant.audience, grant.akind, grant.label) == (made.node_key, MEMBER, "beta")
    assert grant.perms == READ | WRITE
    verify_entry(member, made.mesh_id)
    authority = root_authority(made.mesh_id)
    for entry in (join, member):
        derived = derive(
            authority, decode_grant(entry.body), header=entry.header, grant_id=entry.id
        )
        assert isinstance(derived, Authority), derived
        authority = derived


def test_a_second_try_shows_the_same_bytes(tmp_path: Path) -> None:
    setup.init_mesh(tmp_path / "a", "acme", NOW)
    text = ticket_of(tmp_path / "a").encode()
    tries = []
    # The second comes after the ticket has expired: what was made in time stays made.
    for wall_ms in (NOW, NOW + 5000):
        setup.prepare_join(tmp_path / "b", text, "beta", wall_ms)
        with SqliteStore(Home.open(tmp_path / "b").database_path) as store:
            tries.append([entry.encode() for entry in chain_of(store)])
    assert tries[0] == tries[1]
    assert len(tries[0]) == 3


def test_a_clock_behind_the_inviters_still_gives_a_grant_after_its_parent(tmp_path: Path) -> None:
    setup.init_mesh(tmp_path / "a", "acme", NOW)
    setup.prepare_join(tmp_path / "b", ticket_of(tmp_path / "a").encode(), "beta", NOW - 50_000)
    with SqliteStore(Home.open(tmp_path / "b").database_path) as store:
        _, join, member = chain_of(store)
    assert member.header.hlc > join.header.hlc


def test_an_expired_ticket_leaves_a_home_that_may_join_later(tmp_path: Path) -> None:
    setup.init_mesh(tmp_path / "a", "acme", NOW)
    with pytest.raises(Precondition, match="expired 4 s ago"):
        setup.prepare_join(tmp_path / "b", ticket_of(tmp_path / "a").encode(), "b", NOW + 5000)
    text = ticket_of(tmp_path / "a", before_ms=NOW + 60_000).encode()
    setup.prepare_join(tmp_path / "b", text, "b", NOW + 5000)


def test_a_ticket_that_admits_nobody_is_refused_here(tmp_path: Path) -> None:
    setup.init_mesh(tmp_path / "a", "acme", NOW)
    text = ticket_of(tmp_path / "a", perms=ALL & ~DELEGATE).encode()
    with pytest.raises(Denied, match="delegate"):
        setup.prepare_join(tmp_path / "b", text, "b", NOW)


def test_a_mistyped_ticket_is_a_usage_error_without_its_secret(tmp_path: Path) -> None:
    setup.init_mesh(tmp_path / "a", "acme", NOW)
    text = ticket_of(tmp_path / "a").encode()
    with pytest.raises(UsageError) as caught:
        setup.prepare_join(tmp_path / "b", text[:-3] + "aaa", "b", NOW)
    assert caught.value.__cause__ is None
    assert SEED.hex() not in str(caught.value)
    assert not (tmp_path / "b").exists()


def test_a_name_that_is_too_long_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="64 bytes"):
        setup.init_mesh(tmp_path / "a", "ü" * 40, NOW)
    assert not (tmp_path / "a").exists()
