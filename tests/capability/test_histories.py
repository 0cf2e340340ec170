"""The ledger against the definitions: every order of delivery, at every moment."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from attrs import define, field
from hypothesis import settings

from capability.entry import Entry
from capability.frontier import Frontier, row_of
from capability.lane import Place
from capability.ledger import Change, Ledger
from capability.verdict import Reason, Verdict
from tests.capability.histories import History, Proof, history
from tests.capability.oracle import Result, evaluate

#: Histories are examples as well, and the dearest of all.
FEW = settings().max_examples < 100
SEEDS = range(24 if FEW else 120)
ORDERS = 3
MOMENTS = 3

#: What is not held or stands beyond an end is never added; every mesh here has m = 1.
NOT_IN_HISTORIES = [Reason.NOT_HELD, Reason.NEEDS_QUORUM, Reason.LANE_ENDED]


@define
class Replica:
    """A ledger, and what somebody would believe who judges anew only what a Change names."""

    ledger: Ledger
    held: dict[bytes, Entry] = field(factory=dict)
    # Held, or waiting in their lanes; those have no effect by the definitions either.
    proofs: list[Proof] = field(factory=list)
    believed: dict[bytes, tuple[Verdict, Reason]] = field(factory=dict)
    frontier: Frontier = field(factory=Frontier)
    introduced: set[bytes] = field(factory=set)
    #: Whether a proof that waited may have been dropped, and be new when it comes again.
    drops: bool = False

    def offer(self, entry: Entry) -> bool:
        place = self.ledger.place(entry.header, entry.id)
        if place not in (Place.NEXT, Place.BRANCH):
            assert (place is Place.HELD) == (entry.id in self.held)
            return False
        self.held[entry.id] = entry
        change = self.ledger.add(entry)
        self.believed[entry.id] = self.ledger.judge(entry.header, entry.id)
        self.learn(change, (entry.header.author, entry.header.lane))
        return True

    def offer_proof(self, proof: Proof) -> bool:
        lane = (proof[0].header.author, proof[0].header.lane)
        known = proof in self.proofs
        if not known and self.ledger.introduced(lane[0]):
            self.proofs.append(proof)
        change = self.ledger.add_proof(*proof)
        if change is not None:
            assert self.drops or not (known and change), "it was held or waiting: nothing is new"
            self.learn(change, lane)
        return change is not None and (not known or bool(change))

    def learn(self, change: Change, lane: tuple[bytes, int]) -> None:
        assert list(change.leaves) == sorted(set(change.leaves))
        assert not self.introduced & set(change.introduced)
        assert self.introduced >= set(change.dropped)
        self.introduced.update(change.introduced)
        self.introduced.difference_update(change.dropped)
        for entry in self.held.values():
            key = (entry.header.author, entry.header.lane)
            held = self.ledger.lane(*key)
            assert held is not None
            forked = key in change.lanes and entry.header.seq >= (held.fork_seq or 1)
            forked |= key in change.ended
            if forked or entry.header.leaf in change.leaves or entry.id in change.leaves:
                self.believed[entry.id] = self.ledger.judge(entry.header, entry.id)
        moved = {
            (author, lane) for author in (*change.introduced, *change.dropped) for lane in (0, 1)
        }
        for key in {lane, *change.lanes, *change.ended, *moved}:
            self.frontier.update(row_of(self.ledger, *key))

    def agrees(self, expected: Result) -> None:
        """Everything that this replica says is what follows from the set that it holds."""
        assert expected.required <= self.held.keys() <= expected.held
        judged = {e.id: self.ledger.judge(e.header, e.id) for e in self.held.values()}
        verdicts = {key: expected.verdicts[key] for key in judged}
        assert {key: verdict for key, (verdict, _) in judged.items()} == verdicts
        assert {k: v for k, (v, _) in self.believed.items()} == verdicts
        assert self.introduced == expected.introduced
        rows = {
            (row.author, row.lane): (row.seq, row.head, row.proof)
            for lane in (0, 1)
            for row in self.frontier.rows(lane)
        }
        assert rows == expected.rows


def told(story: History, random: Random) -> list[Entry | Proof]:
    """The story in a random order that is more or less the causal one, with repetitions."""
    spread = random.choice([1, 20, 1000])
    items: list[tuple[float, int, Entry | Proof]] = []
    for index, entry in enumerate(story.entries):
        items.append((index + random.random() * spread, len(items), entry))
        if random.randrange(10) == 0:
            items.append((index + random.random() * 2 * spread, len(items), entry))
    for proof in story.proofs:
        items.append((random.random() * len(story.entries), len(items), proof))
    return [item for _, _, item in sorted(items, key=lambda item: item[:2])]


def deliver(story: History, random: Random, *, drops: bool = False) -> Replica:
    """One replica that is told the story, and is right at some moments on the way."""
    replica = Replica(Ledger(story.mesh.id), drops=drops)
    waiting = told(story, random)
    moments = sorted(random.sample(range(len(waiting)), k=MOMENTS))
    if drops:
        # Nothing is looked at on the way: what was dropped is news until it comes again.
        moments.clear()
        waiting.sort(key=lambda item: isinstance(item, Entry))
    offered = 0
    moved = True
    while moved:
        moved = False
        left = []
        for item in waiting:
            taken = replica.offer(item) if isinstance(item, Entry) else replica.offer_proof(item)
            moved |= taken
            if not taken:
                left.append(item)
            offered += 1
            if moments and offered >= moments[0]:
                moments.pop(0)
                replica.agrees(evaluate(story.mesh.id, replica.held.values(), replica.proofs))
        waiting = left
    return replica


@pytest.fixture(autouse=True)
def nothing_is_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a full waiting place drops is a matter of order; see the last test, and test_lane."""
    monkeypatch.setattr("capability.lane.PROOFS_WAITING_MAX", 1000)


@pytest.mark.parametrize("seed", SEEDS)
def test_verdicts_follow_from_the_set(seed: int) -> None:
    story = history(seed, steps=60 + seed % 4 * 50)
    expected = evaluate(story.mesh.id, story.entries, story.proofs)
    roots = set()
    for order in range(ORDERS):
        replica = deliver(story, Random(f"{seed} {order}"))
        # What is held of authors who are not introduced is a matter of order, and of no effect.
        own = evaluate(story.mesh.id, replica.held.values(), replica.proofs)
        replica.agrees(own)
        assert (own.required, own.introduced) == (expected.required, expected.introduced)
        assert (own.rows, own.counted) == (expected.rows, expected.counted)
        roots.add((replica.frontier.auth_root, replica.frontier.data_root))
    assert len(roots) == 1


@pytest.mark.skipif(FEW, reason="few of them do not show everything")
def test_histories_show_what_they_are_for() -> None:
    reasons: Counter[Reason] = Counter()
    forked = selected = ended = 0
    for seed in SEEDS:
        ledger = (replica := deliver(history(seed, steps=100), Random(seed))).ledger
        reasons.update(ledger.judge(e.header, e.id)[1] for e in replica.held.values())
        lanes = [lane for key in ledger.lanes() if (lane := ledger.lane(*key)) is not None]
        forked += sum(lane.fork_seq is not None for lane in lanes)
        selected += sum(ledger.pinned(*key) is not None for key in ledger.lanes())
        ended += sum(ledger.end(*key) is not None for key in ledger.lanes())
    for seed in range(len(SEEDS), 3 * len(SEEDS), 3):
        # Lanes end only in meshes with a low limit, which is every third of them.
        ledger = (replica := deliver(history(seed, steps=100), Random(seed))).ledger
        reasons.update(ledger.judge(e.header, e.id)[1] for e in replica.held.values())
        ended += sum(ledger.end(*key) is not None for key in ledger.lanes())
    assert reasons[Reason.COUNTS] > sum(reasons.values()) // 3
    assert forked > 100
    assert selected > 50
    assert ended > 50
    assert [reason for reason in Reason if not reasons[reason]] == NOT_IN_HISTORIES


@pytest.mark.parametrize("seed", range(0, 3 * len(SEEDS), 9))
def test_proofs_that_a_full_place_dropped_count_when_they_come_again(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The lanes of these meshes end early, and a proof that stands behind an end waits for ever.
    monkeypatch.setattr("capability.lane.PROOFS_WAITING_MAX", 1)
    story = history(seed, steps=120)
    expected = evaluate(story.mesh.id, story.entries, story.proofs)
    for order in range(ORDERS):
        replica = deliver(story, Random(f"{seed} {order}"), drops=True)
        own = evaluate(story.mesh.id, replica.held.values(), replica.proofs)
        replica.agrees(own)
        assert (own.required, own.rows) == (expected.required, expected.rows)
