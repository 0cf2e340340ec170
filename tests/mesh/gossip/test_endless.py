"""Pinned branches of which a peer makes up one header after the other: their time is bounded."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from capability.entry import Entry
from capability.frontier import FrontierRow
from mesh.core.effects import Effect
from mesh.core.inputs import Now
from mesh.gossip.limits import (
    BISECTIONS_MAX,
    BRANCH_WALK_MS_MAX,
    BRANCH_WALK_MS_MIN,
    HEADERS_MAX,
)
from mesh.gossip.messages import GetById, GetHeaders, Headers, Rows
from mesh.gossip.reconcile import Reconcile
from mesh.gossip.session import Session
from tests.mesh.gossip.test_hostile import PEER, ROOT, logged, ready, sent
from tests.mesh.gossip.world import MESH, FakeReplica, chain, name

PROOF = b"p" * 32
SHORT = chain(name("somebody"), 3)
#: Longer than anybody walks in these tests.
ENDLESS = chain(name("a liar"), 1_000)


class Pinned(FakeReplica):
    """Every lane has forked at its beginning, and whatever tip a row names is pinned."""

    def row(self, author: bytes, lane: int) -> FrontierRow:
        return FrontierRow(author, lane, 0, MESH, PROOF)

    def awaits(self, row: FrontierRow) -> bool:
        return True

    def expect(self, ids: Sequence[bytes]) -> None:
        pass


def begun(*branches: Sequence[Entry]) -> tuple[Reconcile, list[Effect]]:
    """A machine that is told of these branches at 0 ms, and what it asks then."""
    machine, exchange = ready(Pinned())
    tips = sorted((b[-1] for b in branches), key=lambda entry: entry.header.author)
    rows = tuple(FrontierRow(e.header.author, 1, e.header.seq, e.id, PROOF) for e in tips)
    return machine, machine.handle(1, Rows(exchange, b"", 0, True, rows), Now(0, 0)).effects


def walk(
    machine: Reconcile, effects: list[Effect], branch: Sequence[Entry], *, step_ms: int
) -> tuple[int, list[Effect]]:
    """Show ever more of a branch, as slowly as that: the end of it, and what comes then."""
    at = 0
    while True:
        (asked,) = sent(effects)
        if not isinstance(asked, GetHeaders) or asked.author != branch[0].header.author:
            return at, effects
        at += step_ms
        headers = tuple(branch[seq - 1].signed_header for seq in asked.seqs)
        effects = machine.handle(
            1, Headers(asked.request, asked.author, asked.lane, headers), Now(at, at)
        ).effects


def test_a_branch_without_end_is_left_for_those_that_wait() -> None:
    """Its answers come in time and are as they have to be; before, they went on for ever."""
    assert ENDLESS[0].header.author < SHORT[0].header.author
    machine, effects = begun(ENDLESS, SHORT)
    at, effects = walk(machine, effects, ENDLESS, step_ms=BRANCH_WALK_MS_MIN // 6)
    assert at == BRANCH_WALK_MS_MIN
    assert logged(effects) == ["repair.no_branch"]
    (asked,) = sent(effects)
    assert isinstance(asked, GetHeaders)
    assert asked.author == SHORT[0].header.author
    headers = tuple(entry.signed_header for entry in SHORT)
    effects = machine.handle(
        1, Headers(asked.request, asked.author, asked.lane, headers), Now(at, at)
    ).effects
    assert [type(message) for message in sent(effects)] == [GetById]


def test_a_branch_that_is_shown_to_its_end_is_fetched_however_late() -> None:
    """The time is looked at where another question would follow."""
    branch = ENDLESS[: 2 * HEADERS_MAX]
    machine, effects = begun(branch)
    at, effects = walk(machine, effects, branch, step_ms=BRANCH_WALK_MS_MIN - 1)
    assert at == 2 * (BRANCH_WALK_MS_MIN - 1)
    assert [type(message) for message in sent(effects)] == [GetById]


def test_a_link_whose_branch_had_no_end_compares_again() -> None:
    machine, effects = begun(ENDLESS)
    at = 0
    while (asked := [m for m in sent(effects) if isinstance(m, GetHeaders)]) != []:
        at += 5_000
        headers = tuple(ENDLESS[seq - 1].signed_header for seq in asked[0].seqs)
        effects = machine.handle(
            1, Headers(asked[0].request, asked[0].author, 1, headers), Now(at, at)
        ).effects
    (status,) = machine.status()
    assert at == BRANCH_WALK_MS_MIN
    assert machine.deadline is not None
    assert machine.deadline <= at + 20_000
    assert not status.in_sync


def test_a_branch_that_took_too_long_has_twice_the_time_and_comes_after_the_others() -> None:
    session = Session(1, PEER, 0)
    slow, other = (1, b"a"), (1, b"b")
    given = []
    for attempt in range(12):
        for key in (slow, other):
            session.add_branch(key, (9, ROOT))
        keys = [session.next_branch(0).key for _ in range(2)]
        assert keys == ([other, slow] if attempt else [slow, other])
        session.add_branch(slow, (9, ROOT))
        given.append(session.next_branch(0).until_ms)
        session.walked_too_long(slow)
    assert given[:3] == [BRANCH_WALK_MS_MIN << attempt for attempt in range(3)]
    assert given[-1] == BRANCH_WALK_MS_MAX


@pytest.mark.parametrize("beyond", [0, 1])
def test_slow_branches_are_remembered_up_to_a_bound(beyond: int) -> None:
    session = Session(1, PEER, 0)
    for number in range(BISECTIONS_MAX + beyond):
        session.walked_too_long((1, number.to_bytes(32, "big")))
    assert len(session.walks) == BISECTIONS_MAX
    assert ((1, bytes(32)) in session.walks) is not bool(beyond)
