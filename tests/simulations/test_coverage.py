"""Faults meet checkers: how that is counted, and that a run of no faults does not pass for more."""

from attrs import define

from simulations.checkers import CHECKERS, Checker
from simulations.coverage import Coverage, lacking, merged
from simulations.run import Plan, simulate
from simulations.strike import SECOND_US, Strike
from simulations.world import World


@define(eq=False)
class Looks(Checker):
    NAME = "looks"


def test_a_fault_meets_a_checker_that_looks_afterwards() -> None:
    looks = Looks(World(seed=1))
    coverage = Coverage([looks])
    looks.checks += 1
    coverage.befell("kill")
    assert coverage.tally() == {}
    looks.checks += 5
    assert coverage.tally() == {"kill × looks": 1}
    coverage.befell("kill")
    coverage.befell("kill")
    assert coverage.tally() == {"kill × looks": 1}
    looks.checks += 1
    assert coverage.tally() == {"kill × looks": 2}


def test_tallies_are_added_and_what_was_met_too_seldom_is_named() -> None:
    total = merged([{"kill × looks": 2}, {"kill × looks": 3, "cut × looks": 1}])
    assert total == {"cut × looks": 1, "kill × looks": 5}
    found = lacking(total, faults=["kill", "cut", "step"], checkers=["looks"], least=5)
    assert found == {"cut × looks": 1, "step × looks": 0}


def test_every_checker_meets_a_kill() -> None:
    strike = Strike(20 * SECOND_US, 5 * SECOND_US, "kill", (1,))
    result = simulate(Plan(seed=4, nodes=4, minutes=1, strikes=(strike,)))
    assert result.violations == ()
    assert lacking(result.checks, faults=["kill"], checkers=CHECKERS, least=1) == {}


def test_a_run_of_strikes_that_take_no_effect_fails() -> None:
    # It names nobody.
    strike = Strike(SECOND_US, SECOND_US, "kill", ())
    result = simulate(Plan(seed=4, nodes=3, minutes=0.1, strikes=(strike,)))
    assert result.violations == ("coverage: all: 1 strikes, and none took effect",)
