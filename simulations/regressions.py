"""
Plans that found something once. They run with the tests, under two orders of hashes.

Each has the line that says what it found; a plan that a change of the simulator has made pointless
(its draws differ then) is replaced by a test of what it had found.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve, frozen

from simulations.run import Plan, strikes_of
from simulations.scenarios import plan_of


@frozen
class Regression:
    """A plan, and what it found."""

    found: str
    plan: Plan


#: What befalls disks and clocks, in a mesh that is small enough to be run by the hundred.
_DISKS: Final = Plan(
    scenario="everything",
    nodes=4,
    minutes=3.0,
    faults=("put_back", "isolated", "kill", "power_loss", "halves", "damage", "step"),
    all_kinds=True,
    overlay="drawn",
)

_COMMITS: Final = evolve(_DISKS, faults=(*_DISKS.faults, "commit_kept", "commit_lost"))

_FOUNDER_TWICE: Final = plan_of("hunt", seed=1428)
_FOUNDER_STRIKES: Final = strikes_of(_FOUNDER_TWICE)

REGRESSIONS: Final = (
    Regression(
        "nothing: every kind of fault within two minutes, so that there is always something to run",
        Plan(scenario="everything", seed=11, nodes=5, minutes=2.0, all_kinds=True),
    ),
    Regression(
        "nothing: the question that is asked most, at the size that docs/simulations.md shows",
        plan_of("split_brain", seed=7, nodes=5, minutes=1.0),
    ),
    Regression(
        "exactly once, wrongly: entries of one whose log had forked, put back before it had spread",
        evolve(_DISKS, seed=6, only=(6, 7, 11)),
    ),
    Regression(
        "exactly once, wrongly: entries of such a one whose clock was hours ahead",
        evolve(_DISKS, seed=8, only=(2, 14, 16)),
    ),
    Regression(
        "exactly once: rows that grew in a home that waited, of which a copy came back",
        evolve(_COMMITS, seed=3131),
    ),
    Regression(
        "stamps, wrongly: what a repair signs anew has had its stamps, and comes lane by lane",
        evolve(_COMMITS, seed=2111, only=(0, 3)),
    ),
    Regression(
        "agreement, wrongly: who saw a stamp when its own clock was ahead has not parked it",
        evolve(_COMMITS, seed=2229),
    ),
    Regression(
        "causal order, wrongly: the first entry of one whose clock is far behind the founder's",
        evolve(_COMMITS, seed=2138, only=(0, 1, 2)),
    ),
    Regression(
        "exactly once, wrongly: a Worknode beneath one whose creation went with a forked log",
        evolve(
            _FOUNDER_TWICE,
            minutes=2.0,
            strikes=tuple(_FOUNDER_STRIKES[at] for at in (0, 4, 5, 8, 9, 10, 11)),
        ),
    ),
)
