"""Reconciliation with peers that lie, fall silent or speak out of turn: bounded and reported."""

from __future__ import annotations

import pytest

from capability.frontier import FrontierRow
from mesh.core.effects import Effect, Log, Send
from mesh.core.inputs import Now
from mesh.core.limits import REPAIR_INTERVAL_MS, REPAIR_TIMEOUT_MS
from mesh.gossip.limits import (
    BISECTIONS_MAX,
    RANGES_MAX,
    REPAIR_BACKOFF_MS_MAX,
    ROWS_MAX,
    WANTS_MAX,
)
from mesh.gossip.messages import (
    Entries,
    ForkProof,
    Get,
    GetHeaders,
    Headers,
    Message,
    NeedFull,
    Range,
    Roots,
    RootsReply,
    Rows,
)
from mesh.gossip.reconcile import ForkFound, Outcome, Reconcile
from mesh.wire import Unknown, decode_message, encode_message
from tests.mesh.gossip.world import FakeReplica, chain, name

ROOT = b"r" * 32
AUTHOR = name("author")
PEER = name("b")


def sent(effects: list[Effect]) -> list[Message]:
    found = []
    for effect in effects:
        if isinstance(effect, Send):
            message = decode_message(effect.data, size_max=1 << 20)
            assert not isinstance(message, Unknown)
            found.append(message)
    return found


def logged(effects: list[Effect]) -> list[str]:
    return [effect.event for effect in effects if isinstance(effect, Log)]


def ready(replica: FakeReplica) -> tuple[Reconcile, int]:
    """A machine that has begun an exchange on link 1, and the exchange's number."""
    machine = Reconcile(name("a"), replica, encode_message)
    (rows,) = sent(machine.link_ready(1, PEER, ROOT, ROOT, Now(0, 0)))
    assert isinstance(rows, Rows)
    return machine, rows.exchange


def lie(index: int, seq: int = 2**62) -> FrontierRow:
    return FrontierRow(name(f"lie{index:06}"), 1, seq, ROOT, b"")


def test_promises_that_are_not_kept_are_reported_and_end() -> None:
    machine, exchange = ready(FakeReplica())
    rows = tuple(lie(i) for i in range(ROWS_MAX))
    effects = machine.handle(1, Rows(exchange, b"", 0, True, rows), Now(1, 1)).effects
    questions = 0
    while gets := [m for m in sent(effects) if isinstance(m, Get)]:
        (get,) = gets
        questions += 1
        assert len(get.ranges) <= RANGES_MAX
        answer = Entries(get.request, (), done=True)
        assert machine.handle(1, answer, Now(1, 1)) == Outcome([])
        effects = machine.entries_done(1, answer, [], [], Now(1, 1))
    assert questions == -(-ROWS_MAX // RANGES_MAX)
    assert logged(effects) == ["repair.unkept"]
    # It compares once more, and then not before the pause is over.
    (roots,) = sent(effects)
    assert isinstance(roots, Roots)
    reply = RootsReply(ROOT, ROOT, roots.nonce, equal=False)
    assert machine.handle(1, reply, Now(2, 2)) == Outcome([])
    assert machine.deadline == 1 + REPAIR_INTERVAL_MS


def test_the_pause_after_broken_promises_grows_to_its_bound() -> None:
    machine, exchange = ready(FakeReplica())
    at, pauses = 1, []
    for _ in range(8):
        rows = Rows(exchange, b"", 0, True, (lie(1),))
        (get,) = sent(machine.handle(1, rows, Now(at, at)).effects)
        assert isinstance(get, Get)
        effects = machine.entries_done(1, Entries(get.request, (), done=True), [], [], Now(at, at))
        (roots,) = sent(effects)
        assert isinstance(roots, Roots)
        machine.handle(1, RootsReply(ROOT, ROOT, roots.nonce, equal=False), Now(at, at))
        # Whatever the peer says in the meantime, nothing is asked of it.
        own = Rows(exchange + 1, b"", 0, True, (lie(2),))
        assert not [m for m in sent(machine.handle(1, own, Now(at, at)).effects) if type(m) is Get]
        assert machine.deadline is not None
        pauses.append(machine.deadline - at)
        at = machine.deadline
        (roots,) = sent(machine.tick(Now(at, at)))
        assert isinstance(roots, Roots)
        reply = RootsReply(ROOT, ROOT, roots.nonce, equal=False)
        (begun,) = sent(machine.handle(1, reply, Now(at, at)).effects)
        assert isinstance(begun, Rows)
        exchange = begun.exchange
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (REPAIR_INTERVAL_MS, REPAIR_BACKOFF_MS_MAX)


def test_what_one_peer_holds_back_is_asked_of_another() -> None:
    full = chain(AUTHOR, 3)
    row = FrontierRow(AUTHOR, 1, 3, full[2].id, b"")
    machine, exchange = ready(FakeReplica())
    (rows,) = sent(machine.link_ready(2, name("c"), ROOT, ROOT, Now(0, 0)))
    assert isinstance(rows, Rows)
    promise = Rows(exchange, b"", 0, True, (row,))
    (get,) = sent(machine.handle(1, promise, Now(0, 0)).effects)
    # The same lane is not asked of the second link while the first one has the question.
    same = Rows(rows.exchange, b"", 0, True, (row,))
    assert machine.handle(2, same, Now(0, 0)) == Outcome([])
    assert isinstance(get, Get)
    effects = machine.entries_done(1, Entries(get.request, (), done=True), [], [], Now(1, 1))
    assert [e.link for e in effects if isinstance(e, Send)] == [1, 2]
    assert [type(m) for m in sent(effects)] == [Roots, Get]


def test_a_lane_that_one_link_keeps_too_long_is_asked_of_another() -> None:
    machine, exchange = ready(FakeReplica())
    (rows,) = sent(machine.link_ready(2, name("c"), ROOT, ROOT, Now(0, 0)))
    assert isinstance(rows, Rows)
    machine.handle(1, Rows(exchange, b"", 0, True, (lie(1),)), Now(0, 0))
    machine.handle(2, Rows(rows.exchange, b"", 0, True, (lie(1),)), Now(0, 0))
    at = machine.deadline
    assert at is not None
    assert at < REPAIR_TIMEOUT_MS
    effects = machine.tick(Now(at, at))
    assert [(e.link, type(m)) for e, m in zip(effects, sent(effects), strict=True)] == [(2, Get)]


def test_a_closed_link_gives_its_lanes_to_the_others() -> None:
    machine, exchange = ready(FakeReplica())
    (rows,) = sent(machine.link_ready(2, name("c"), ROOT, ROOT, Now(0, 0)))
    assert isinstance(rows, Rows)
    machine.handle(1, Rows(exchange, b"", 0, True, (lie(1),)), Now(0, 0))
    machine.handle(2, Rows(rows.exchange, b"", 0, True, (lie(1),)), Now(0, 0))
    effects = machine.link_closed(1, Now(1, 1))
    assert [(e.link, type(m)) for e, m in zip(effects, sent(effects), strict=True)] == [(2, Get)]


def test_a_peer_that_never_answers_is_given_up_and_asked_again_later() -> None:
    machine, _ = ready(FakeReplica())
    assert machine.deadline == REPAIR_TIMEOUT_MS
    at = REPAIR_TIMEOUT_MS
    assert logged(machine.tick(Now(at, at))) == ["repair.timeout"]
    assert machine.deadline == at + REPAIR_INTERVAL_MS
    seen = 0
    while at < 3_600_000:
        assert machine.deadline is not None
        assert machine.deadline > at
        at = machine.deadline
        seen += len(machine.tick(Now(at, at)))
    assert seen <= 3_600_000 // REPAIR_TIMEOUT_MS


def test_a_window_that_is_never_answered_is_given_up() -> None:
    machine, exchange = ready(FakeReplica())
    machine.handle(1, Rows(exchange, b"", 0, True, (lie(1),)), Now(7, 7))
    at = 7 + REPAIR_TIMEOUT_MS
    assert machine.deadline == at
    assert logged(machine.tick(Now(at, at))) == ["repair.timeout"]
    assert machine.status()[0].behind == 0


def test_a_peer_that_goes_on_comparing_is_given_up_for_the_answer_that_it_owes() -> None:
    machine, exchange = ready(FakeReplica())
    machine.handle(1, Rows(exchange, b"", 0, True, (lie(1),)), Now(7, 7))
    at = 7
    while at < REPAIR_TIMEOUT_MS - REPAIR_INTERVAL_MS:
        at += REPAIR_INTERVAL_MS
        # An exchange of the peer's own: it counts as something that moves.
        machine.handle(1, Rows(exchange + 1, b"", 0, True, (lie(1),)), Now(at, at))
    at = 7 + REPAIR_TIMEOUT_MS
    assert machine.deadline == at
    assert logged(machine.tick(Now(at, at))) == ["repair.timeout"]


@pytest.mark.parametrize(
    "message",
    [
        Entries(99, (b"unasked",), done=True),
        RootsReply(ROOT, ROOT, 99, equal=True),
        Headers(99, AUTHOR, 1, (None,)),
        NeedFull(99),
        Rows(98, b"", 0, True, (lie(1),)),
        Rows(98, b"", 1, True, (lie(1),)),
        Rows(97, b"", 3, True, (lie(1),)),
        Get(1, (), 1),
    ],
)
def test_what_nobody_asked_for_is_void(message: Message) -> None:
    machine, _ = ready(FakeReplica())
    before = machine.deadline
    outcome = machine.handle(1, message, Now(0, 0))
    if isinstance(message, Get):
        assert sent(outcome.effects) == [Entries(1, (), done=True)]
    else:
        assert outcome == Outcome([])
    assert machine.deadline == before
    assert machine.handle(5, message, Now(0, 0)) == Outcome([])


def test_parts_out_of_order_end_the_answer() -> None:
    machine, _ = ready(FakeReplica(chain(AUTHOR, 2)))
    first = Rows(1, b"", 0, False, (lie(5),))
    back = Rows(1, b"", 1, True, (lie(4),))
    machine.handle(1, first, Now(0, 0))
    assert machine.handle(1, back, Now(0, 0)).effects == []


def test_an_unknown_base_is_answered_by_need_full() -> None:
    machine, _ = ready(FakeReplica())
    rows = Rows(1, b"?" * 32, 0, True, (lie(1),))
    assert sent(machine.handle(1, rows, Now(0, 0)).effects) == [NeedFull(1)]


def test_need_full_is_heeded_once_per_comparison() -> None:
    machine, exchange = ready(FakeReplica())
    (again,) = sent(machine.handle(1, NeedFull(exchange), Now(0, 0)).effects)
    assert isinstance(again, Rows)
    assert machine.handle(1, NeedFull(again.exchange), Now(0, 0)) == Outcome([])


def test_wants_are_bounded() -> None:
    machine, exchange = ready(FakeReplica())
    for part in range(40):
        rows = tuple(lie(part * ROWS_MAX + i) for i in range(ROWS_MAX))
        machine.handle(1, Rows(exchange, b"", part, False, rows), Now(0, 0))
    assert machine.status()[0].behind == WANTS_MAX


def test_bisections_are_bounded_and_one_at_a_time() -> None:
    lanes = [chain(name(f"n{i:04}"), 2) for i in range(200)]
    machine, exchange = ready(FakeReplica(*lanes))
    rows = tuple(FrontierRow(lane[0].header.author, 1, 2, ROOT, b"") for lane in lanes)
    effects = machine.handle(1, Rows(exchange, b"", 0, True, rows), Now(0, 0)).effects
    questions = 0
    while asked := [m for m in sent(effects) if isinstance(m, GetHeaders)]:
        assert len(asked) == 1
        questions += 1
        nothing = Headers(asked[0].request, asked[0].author, 1, (None, None))
        effects = machine.handle(1, nothing, Now(0, 0)).effects
    assert questions == BISECTIONS_MAX


def test_a_search_that_never_narrows_ends() -> None:
    mine = chain(AUTHOR, 1000, mark=b"m")
    other = chain(AUTHOR, 1000, mark=b"o")
    machine, exchange = ready(FakeReplica(mine))
    row = FrontierRow(AUTHOR, 1, 1000, other[-1].id, b"")
    effects = machine.handle(1, Rows(exchange, b"", 0, True, (row,)), Now(0, 0)).effects
    questions = 0
    while asked := [m for m in sent(effects) if isinstance(m, GetHeaders)]:
        questions += 1
        # Each time the peer claims to differ in the last number only.
        headers = tuple(mine[seq - 1].signed_header for seq in asked[0].seqs[:-1])
        last = other[asked[0].seqs[-1] - 1].signed_header
        answer = Headers(asked[0].request, AUTHOR, 1, (*headers, last))
        effects = machine.handle(1, answer, Now(0, 0)).effects
    assert questions <= 4
    assert logged(effects) == ["repair.no_fork"]


@pytest.mark.parametrize("wrong", ["lane", "number", "count"])
def test_headers_of_something_else_end_the_search(wrong: str) -> None:
    mine = chain(AUTHOR, 2, mark=b"m")
    machine, exchange = ready(FakeReplica(mine))
    row = FrontierRow(AUTHOR, 1, 2, ROOT, b"")
    (asked,) = sent(machine.handle(1, Rows(exchange, b"", 0, True, (row,)), Now(0, 0)).effects)
    assert isinstance(asked, GetHeaders)
    assert asked.seqs == (1, 2)
    other = chain(AUTHOR, 2, lane=0 if wrong == "lane" else 1, mark=b"o")
    headers = [entry.signed_header for entry in other]
    if wrong == "number":
        headers.reverse()
    if wrong == "count":
        headers.pop()
    outcome = machine.handle(1, Headers(asked.request, AUTHOR, 1, tuple(headers)), Now(0, 0))
    assert outcome.forks == ()
    assert logged(outcome.effects) == ["repair.no_fork"]


def test_a_found_fork_is_handed_out_for_verification_and_told_once_per_link() -> None:
    mine, other = chain(AUTHOR, 1, mark=b"m"), chain(AUTHOR, 1, mark=b"o")
    replica = FakeReplica(mine)
    machine, exchange = ready(replica)
    machine.link_ready(2, name("c"), ROOT, ROOT, Now(0, 0))
    row = FrontierRow(AUTHOR, 1, 1, other[0].id, b"")
    (asked,) = sent(machine.handle(1, Rows(exchange, b"", 0, True, (row,)), Now(0, 0)).effects)
    assert isinstance(asked, GetHeaders)
    headers = Headers(asked.request, AUTHOR, 1, (other[0].signed_header,))
    halves = sorted((mine[0].signed_header, other[0].signed_header), key=lambda half: half.id)
    fork = ForkFound(*halves)
    assert machine.handle(1, headers, Now(0, 0)).forks == (fork,)
    # Nothing is told before the replica holds it.
    assert machine.proof_held(AUTHOR, 1) == []
    replica.add_proof(fork)
    proof = encode_message(ForkProof(*halves))
    effects = machine.forks_done(1, [(AUTHOR, 1)], Now(0, 0))
    assert effects[:2] == [Send(1, proof), Send(2, proof)]
    assert [type(m) for m in sent(effects[2:])] == [Roots]
    assert machine.proof_held(AUTHOR, 1) == []
    # A peer that sends it back is not believed to have something new.
    assert machine.handle(2, ForkProof(*halves), Now(0, 0)) == Outcome([])


def test_a_fork_of_which_nothing_is_heard_ends_the_repair_at_the_next_tick() -> None:
    mine, other = chain(AUTHOR, 1, mark=b"m"), chain(AUTHOR, 1, mark=b"o")
    machine, exchange = ready(FakeReplica(mine))
    row = FrontierRow(AUTHOR, 1, 1, other[0].id, b"")
    (asked,) = sent(machine.handle(1, Rows(exchange, b"", 0, True, (row,)), Now(3, 3)).effects)
    assert isinstance(asked, GetHeaders)
    headers = Headers(asked.request, AUTHOR, 1, (other[0].signed_header,))
    assert machine.handle(1, headers, Now(4, 4)).effects == []
    assert machine.deadline == 4
    assert [type(m) for m in sent(machine.tick(Now(4, 4)))] == [Roots]
    assert machine.deadline is not None
    assert machine.deadline > 4


def test_a_forged_fork_does_not_make_the_search_go_round() -> None:
    # The replica refuses what the engine could not verify, so nothing was gained.
    mine, other = chain(AUTHOR, 1, mark=b"m"), chain(AUTHOR, 1, mark=b"o")
    machine, exchange = ready(FakeReplica(mine))
    row = FrontierRow(AUTHOR, 1, 1, other[0].id, b"")
    (asked,) = sent(machine.handle(1, Rows(exchange, b"", 0, True, (row,)), Now(0, 0)).effects)
    assert isinstance(asked, GetHeaders)
    headers = Headers(asked.request, AUTHOR, 1, (other[0].signed_header,))
    assert machine.handle(1, headers, Now(0, 0)).effects == []
    (roots,) = sent(machine.forks_done(1, [], Now(0, 0)))
    assert isinstance(roots, Roots)
    reply = RootsReply(ROOT, ROOT, roots.nonce, equal=False)
    assert machine.handle(1, reply, Now(0, 0)) == Outcome([])
    assert machine.deadline == REPAIR_INTERVAL_MS


def test_a_lying_flag_does_not_make_anybody_in_sync() -> None:
    replica = FakeReplica()
    machine = Reconcile(name("a"), replica, encode_message)
    machine.link_ready(1, PEER, *replica.roots(), Now(0, 0))
    machine.handle(1, RootsReply(ROOT, ROOT, 1, equal=True), Now(0, 0))
    assert not machine.status()[0].in_sync


def test_a_huge_get_costs_one_window() -> None:
    full = chain(AUTHOR, 30, size=50_000)
    machine, _ = ready(FakeReplica(full))
    get = Get(1, (Range(AUTHOR, 1, 1, 2**62),) * RANGES_MAX, 2**62)
    (answer,) = sent(machine.handle(1, get, Now(0, 0)).effects)
    assert isinstance(answer, Entries)
    assert not answer.done
    assert len(answer.entries) == 5
