"""Each planted mistake is found, by a checker that is there for it; without it nothing is."""

import time
from functools import lru_cache

import pytest
from attrs import evolve

from simulations.checkers import CHECKERS
from simulations.drills import DRILLS, Finding, hunt
from simulations.run import simulate

#: A planted mistake is to be found in so much time, on one core.
FOUND_WITHIN_S = 300.0


@lru_cache(maxsize=len(DRILLS))
def found(name: str) -> Finding:
    """What the drill's own seed finds."""
    drill = DRILLS[name]
    finding = hunt(drill, [drill.seed])
    assert finding is not None
    return finding


@pytest.mark.parametrize("name", DRILLS)
def test_a_planted_mistake_is_found(name: str) -> None:
    assert found(name).checker in DRILLS[name].found_by


def test_every_checker_is_the_first_to_find_some_mistake() -> None:
    assert {found(name).checker for name in DRILLS} >= set(CHECKERS)


@pytest.mark.parametrize("name", DRILLS)
def test_without_the_mistake_nothing_is_found(name: str) -> None:
    drill = DRILLS[name]
    assert simulate(evolve(drill.plan, seed=drill.seed)).violations == ()


def test_a_drill_leaves_nothing_behind() -> None:
    drill = DRILLS["all covered"]
    assert hunt(drill, [drill.seed]) is not None
    assert simulate(evolve(drill.plan, seed=drill.seed)).violations == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", DRILLS)
def test_a_planted_mistake_is_found_by_seeds_that_nobody_has_chosen(name: str) -> None:
    drill, begin_s = DRILLS[name], time.monotonic()
    first = 1_000_000 + int(time.time())
    for seed in range(first, first + 1_000):
        finding = hunt(drill, [seed])
        if finding is not None:
            assert finding.checker in drill.found_by, finding
            return
        assert time.monotonic() - begin_s < FOUND_WITHIN_S, f"not found since seed {first}"
