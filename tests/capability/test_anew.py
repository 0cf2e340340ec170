"""Judging anew what a fork bears on gives what judging everything gives, in every history."""

from __future__ import annotations

from random import Random

import pytest

from capability.bodies import LIMIT_VOID_SUFFIX
from capability.entry import Entry
from capability.lane import Place
from capability.ledger import Change, Ledger
from capability.permissions import ALL, REVOKE
from capability.verdict import Reason, Verdict
from tests.capability.histories import History, Proof, history
from tests.capability.story import COUNTS, Log, Mesh, deliver, void

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


def test_only_grants_of_which_the_verdict_is_another_one_are_named() -> None:
    mesh = Mesh()
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    twin = ann.twin()
    good, wide = ann.grant(mesh.log("good")), ann.grant(mesh.log("wide"), max_depth=9)
    ann.pin(mesh.genesis)
    ledger = mesh.ledger()
    where = (ann.author, 0)
    (change,) = deliver(ledger, [twin.pin(mesh.genesis)])
    whom = (mesh.log("good").author,)
    assert change == Change(leaves=(good.id,), lanes=(where,), forked=(where,), dropped=whom)
    (change,) = deliver(ledger, [mesh.root.pin(wide)])
    assert change == Change(leaves=(good.id,), lanes=(where,), introduced=whom)


def test_an_earlier_fork_voids_what_stood_before_the_later_one() -> None:
    mesh = Mesh()
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    early = ann.twin()
    grants = [ann.grant(mesh.log(str(at))) for at in range(3)]
    late = Log(mesh, ann.author, ann.leaf, {0: grants[1], 1: None}).pin(mesh.genesis)
    ledger = Ledger(mesh.id)
    deliver(ledger, [*mesh.entries[:-1], late])
    verdicts = [ledger.judge(entry.header, entry.id) for entry in grants]
    assert verdicts == [COUNTS, COUNTS, void(Reason.FORKED)]
    (change,) = deliver(ledger, [early.pin(mesh.genesis)])
    assert change.leaves == tuple(sorted(entry.id for entry in grants[:2]))
    assert {ledger.judge(e.header, e.id) for e in grants} == {void(Reason.FORKED)}


@pytest.mark.parametrize("first", [0, 1])
def test_who_is_introduced_by_either_branch_was_never_away(first: int) -> None:
    """Whichever of the two grants is judged first: one is lost and one gained in one step."""
    mesh = Mesh()
    mid, ann, ben = (mesh.log(name) for name in ("mid", "ann", "ben"))
    mesh.root.grant(mid)
    mid.grant(ann)
    grants = sorted((ann.twin().grant(ben.author, label=text) for text in "ab"), key=lambda e: e.id)
    ledger = mesh.ledger()
    assert not ledger.introduced(ben.author)
    where = (ann.author, 0)
    one, two = grants[first], grants[1 - first]
    (change,) = deliver(ledger, [mid.pin(one)])
    assert change == Change(leaves=(one.id,), lanes=(where,), introduced=(ben.author,))
    (change,) = deliver(ledger, [mesh.root.pin(two)])
    assert change == Change(leaves=tuple(sorted((one.id, two.id))), lanes=(where,))
    assert ledger.introduced(ben.author)
    assert [grant_id for grant_id, _ in ledger.grants_to(ben.author)] == [two.id]


def test_a_root_is_introduced_whatever_becomes_of_a_grant_to_it() -> None:
    mesh = Mesh()
    ann, root = mesh.log("ann"), mesh.root.author
    mesh.root.grant(ann)
    twin = ann.twin()
    grant = ann.grant(root)
    ledger = mesh.ledger()
    where = (ann.author, 0)
    (change,) = deliver(ledger, [twin.pin(mesh.genesis)])
    assert change == Change(leaves=(grant.id,), lanes=(where,), forked=(where,))
    assert ledger.introduced(root)


@pytest.mark.parametrize("by", [0, 1])
def test_each_grant_of_an_author_reaches_as_far_as_its_own_pins(by: int) -> None:
    """Two grants of one rank: a pin binds what is made by one of them, whichever came first."""
    mesh = Mesh()
    mids, ann = [mesh.log("mid 0"), mesh.log("mid 1")], mesh.log("ann")
    for mid in mids:
        mesh.root.grant(mid, perms=ALL & ~REVOKE)
    leaves = [mid.grant(ann.author, perms=ALL & ~REVOKE).id for mid in mids]
    twin = ann.twin()
    made = [
        ann.grant(mesh.log(f"{at} {of}"), entry={"leaf": leaf}, perms=0)
        for at in range(2)
        for of, leaf in enumerate(leaves)
    ]
    twin.pin(mesh.genesis, leaf=leaves[0])
    ledger = mesh.ledger()
    assert {ledger.judge(e.header, e.id) for e in made} == {void(Reason.FORKED)}
    deliver(ledger, [mids[by].pin(made[3])])
    found = [e for e in made if ledger.judge(e.header, e.id) == COUNTS]
    assert found == [e for e in made if e.header.leaf == leaves[by]]


def test_a_pin_that_counts_no_more_lets_go_of_what_it_selected() -> None:
    """And is heard again when it counts again: what rests on a pin follows it both ways."""
    mesh = Mesh()
    mid, ann = mesh.log("mid"), mesh.log("ann")
    mesh.root.grant(mid)
    mid.grant(ann)
    mids, anns = mid.twin(), ann.twin()
    grant = ann.grant(mesh.log("below"))
    anns.pin(mesh.genesis)
    pin = mid.pin(grant)
    ledger = mesh.ledger()
    assert ledger.judge(grant.header, grant.id) == COUNTS
    # Her own fork takes Mid's pin along, and what that had selected of Ann's log.
    deliver(ledger, [mids.pin(mesh.genesis)])
    assert ledger.judge(pin.header, pin.id) == void(Reason.FORKED)
    assert ledger.judge(grant.header, grant.id) == void(Reason.FORKED)
    deliver(ledger, [mesh.root.pin(pin)])
    assert ledger.judge(grant.header, grant.id) == COUNTS


def test_a_pin_that_moves_no_branch_is_told_if_it_makes_more_of_it_count() -> None:
    mesh = Mesh()
    mids, ann = [mesh.log("mid 0"), mesh.log("mid 1")], mesh.log("ann")
    for mid in mids:
        mesh.root.grant(mid, perms=ALL & ~REVOKE)
    leaves = [mid.grant(ann.author, perms=ALL & ~REVOKE).id for mid in mids]
    twin = ann.twin()
    one, two, tip = (ann.data(leaf=leaf) for leaf in (*leaves, leaves[0]))
    twin.data(leaf=leaves[0])
    ledger = mesh.ledger()
    where = (ann.author, 1)

    def counting() -> list[Entry]:
        return [e for e in (one, two, tip) if ledger.judge(e.header, e.id) == COUNTS]

    assert deliver(ledger, [mids[0].pin(tip)]) == [Change(lanes=(where,))]
    assert counting() == [one, tip]
    assert deliver(ledger, [mids[1].pin(two)]) == [Change(lanes=(where,))]
    assert counting() == [one, two, tip]


def test_a_pin_that_is_not_heard_changes_nothing() -> None:
    mesh = Mesh()
    mid, ann = mesh.log("mid"), mesh.log("ann")
    mesh.root.grant(mid)
    mid.grant(ann)
    twin = ann.twin()
    tip, rival = ann.data("tip"), twin.data("rival")
    ledger = mesh.ledger()
    assert deliver(ledger, [mesh.root.pin(tip)]) == [Change(lanes=((ann.author, 1),))]
    # It would bind, but it names another branch, and ranks after the one that was heard.
    assert deliver(ledger, [mid.pin(rival)]) == [Change()]
    assert ledger.judge(tip.header, tip.id) == COUNTS


def test_a_grant_of_a_greater_rank_may_bring_a_branch_of_data_within_its_limit() -> None:
    """What settles a fork of data at a rank is not of lesser ranks alone: the dead are of all."""
    mesh = Mesh(limits=((LIMIT_VOID_SUFFIX, 2),))
    chief, mal = mesh.log("chief"), mesh.log("mal")
    mesh.root.grant(chief)
    mesh.root.grant(mal)
    twin, other = chief.twin(), mal.twin()
    low = chief.grant(mal.author)
    twin.pin(mesh.genesis)
    other.data()
    first = mal.data()
    for _ in range(2):
        mal.data(leaf=low.id)
    tip = mal.data()
    mesh.root.pin(tip)
    ledger = mesh.ledger()
    # Two entries before the tip are dead, so the pin is not heard.
    assert ledger.pinned(mal.author, 1) is None
    assert ledger.judge(first.header, first.id) == void(Reason.FORKED)
    deliver(ledger, [mesh.root.pin(low)])
    assert ledger.judge(first.header, first.id) == COUNTS
    path = ledger.pinned(mal.author, 1)
    assert path is not None and path.id == tip.id
