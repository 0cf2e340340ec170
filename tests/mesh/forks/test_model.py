"""
Small worlds, exhaustively: whatever of a forker's pieces came to whom and in which order, two
replicas that exchange until it is quiet hold the same required set, verdicts, roots and state.

Pruned: what leaves both replicas with the same log in the same order is tried once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations, product

import pytest

from tests.mesh.forks.scenes import SCENES, Scene
from tests.mesh.forks.town import HOSTS, Town, by_seed, first, last, small_buffers

#: Cases of each scene in a short run, spread evenly over all, and in a long one.
FEW, MANY = 25, 20_000


def deals(scene: Scene) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Which pieces come to whom, in which order; each comes to somebody."""
    for owners in product((1, 2, 3), repeat=len(scene.pieces)):
        mine = [at for at, owner in enumerate(owners) if owner & 1]
        theirs = [at for at, owner in enumerate(owners) if owner & 2]
        # The other's order is one of two: what matters is each one's order, and what both have.
        for order in permutations(mine):
            yield order, tuple(theirs)
            if len(theirs) > 1:
                yield order, tuple(reversed(theirs))


def held(town: Town) -> tuple[object, ...]:
    """What each has held, in which order, and what waits."""
    replicas = [host.engine.replica for host in town.hosts.values()]
    rooms = [(r.admission.deferred, r.admission.waiting) for r in replicas]
    waiting = [tuple(tuple(room.entries) for room in both) for both in rooms]
    return tuple(tuple(r.table.ids) for r in replicas), tuple(waiting)


def run(make: Callable[[], Scene], most: int) -> int:
    scene = make()
    start = Town(scene.mesh, scene.base)
    cases = list(deals(scene))
    seen: set[object] = set()
    # Odd, so that both orders of the second replica come.
    for number in range(0, len(cases), len(cases) // most | 1):
        orders = cases[number]
        town = start.copy()
        for name, order in zip(HOSTS, orders, strict=False):
            for at in order:
                town.bring(name, scene.pieces[at])
        situation = held(town), tuple(tuple(sorted(each)) for each in orders)
        if situation in seen:
            continue
        seen.add(situation)
        town.exchange((first, last, by_seed(number))[number % 3])
        town.follow_the_definitions()
    return len(seen)


@pytest.mark.parametrize("make", SCENES)
def test_replicas_end_equal_and_as_defined(make: Callable[[], Scene]) -> None:
    assert run(make, FEW) > FEW // 3


@pytest.mark.parametrize("make", SCENES)
def test_replicas_with_full_buffers_end_equal(make: Callable[[], Scene]) -> None:
    with small_buffers():
        assert run(make, FEW) > FEW // 3


@pytest.mark.slow
@pytest.mark.parametrize("is_small", [False, True])
@pytest.mark.parametrize("make", SCENES)
def test_every_order(make: Callable[[], Scene], is_small: bool) -> None:
    if is_small:
        with small_buffers():
            run(make, MANY)
    else:
        run(make, MANY)
