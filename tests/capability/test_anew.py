"""Judging anew what a fork bears on gives what judging everything gives, in every history."""

from __future__ import annotations

from random import Random

import pytest

from capability.entry import Entry
from capability.lane import Place
from capability.ledger import Ledger
from capability.verdict import Reason, Verdict
from tests.capability.histories import History, Proof, history
from tests.capability.story import Mesh, deliver

SEEDS = range(60)


def acts(ledger: Ledger) -> dict[bytes, tuple[Verdict, Reason]]:
    known = ledger._links.acts
    return {act.id: (act.verdict, act.reason) for act in known.values()}


def judge_all(ledger: Ledger) -> None:
    """The definition: every grant and pin, in the order of rank, with nothing remembered."""
    judging = ledger._judging
    judging.choices.clear()
    for act in sorted(judging.links.acts.values(), key=lambda act: act.rank):
        judging.judge_act(act)
    judging.choices.clear()


def offer(ledger: Ledger, item: Entry | Proof) -> bool:
    if isinstance(item, tuple):
        return ledger.add_proof(*item) is not None
    if ledger.place(item.header, item.id) not in (Place.NEXT, Place.BRANCH):
        return False
    ledger.add(item)
    return True


def tell(story: History, random: Random) -> Ledger:
    """After each entry whatever was judged is as judging all would have it."""
    ledger = Ledger(story.mesh.id)
    spread = random.choice([1, 20, 1000])
    items = [*enumerate(story.entries), *((random.randrange(100), p) for p in story.proofs)]
    told = [(at + random.random() * spread, n, item) for n, (at, item) in enumerate(items)]
    left = [item for *_, item in sorted(told, key=lambda each: each[:2])]
    moved = True
    while moved:
        moved, waiting, left = False, left, []
        for item in waiting:
            if not offer(ledger, item):
                left.append(item)
                continue
            moved = moved or isinstance(item, Entry)
            found = acts(ledger)
            judge_all(ledger)
            assert acts(ledger) == found
    return ledger


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_judged_anew_is_as_if_all_were(seed: int) -> None:
    tell(history(seed, steps=60 + seed % 4 * 30), Random(f"anew {seed}"))


def test_a_pin_that_moves_a_branch_back_and_forth_is_followed() -> None:
    """Grants of a forked lane count and do not count, and so does what is made by them."""
    mesh = Mesh()
    mal, sub = mesh.log("mal"), mesh.log("sub")
    mesh.root.grant(mal)
    mal.grant(sub)
    twin = sub.twin()
    here = [sub.grant(mesh.log(f"here {n}")) for n in range(4)]
    there = [twin.grant(mesh.log(f"there {n}")) for n in range(4)]
    leaf = mesh.log("here 3", here[3].id).grant(mesh.log("below"))
    ledger = mesh.ledger()
    for tip in (here[1], here[3], there[2], here[0], there[3]):
        for pin in (mal.pin(tip), mesh.root.pin(tip)):
            # Whose grant does not count is not introduced, so it may not be held yet.
            deliver(ledger, [pin, leaf])
            found = acts(ledger)
            judge_all(ledger)
            assert acts(ledger) == found
            above, below = (ledger.judge(e.header, e.id)[0] for e in (here[3], leaf))
            assert (above is Verdict.COUNTS) == (below is Verdict.COUNTS)
