"""
Making a failure small: leave strikes out while the run still fails.

Source: Zeller, Hildebrandt, Simplifying and isolating failure-inducing input, IEEE TSE 28(2), 2002
(the ddmin algorithm, complements only).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from attrs import evolve

from simulations.checkers import CHECKERS
from simulations.run import Plan, simulate, strikes_of
from simulations.scenarios import SCENARIOS, plan_of

#: Runs that one shrinking may take. A guess: a few minutes of them.
RUNS_MAX: Final = 60


def promise_of(violation: str) -> str:
    """Which promise a violation is of: a checker's, or one of a run's own."""
    name = violation.partition(": ")[0]
    return name if name in (*CHECKERS, "convergence", "coverage", "crash") else "livelock"


def fails(plan: Plan, *, promises: Collection[str] | None = None) -> bool:
    """Whether a run of *plan* breaks a promise, one of *promises* if these are given."""
    broken = {promise_of(violation) for violation in simulate(plan).violations}
    return bool(broken if promises is None else broken.intersection(promises))


def shrink(plan: Plan, *, is_failing: Callable[[Plan], bool] = fails) -> Plan:
    """
    The smallest plan found that still fails: fewer strikes.

    At most `RUNS_MAX` runs; *plan* itself must fail. A few strikes that find nobody to befall break
    the promise of `coverage`, so *is_failing* should look for the promise that was broken first.
    """
    budget = [RUNS_MAX]

    def still_fails(candidate: Plan) -> bool:
        if budget[0] <= 0:
            return False
        budget[0] -= 1
        return is_failing(candidate)

    places = list(range(len(strikes_of(plan)))) if plan.only is None else list(plan.only)
    parts = 2
    while len(places) > 0 and parts <= max(2, len(places)):
        size = -(-len(places) // parts)
        for begin in range(0, len(places), size):
            rest = places[:begin] + places[begin + size :]
            if still_fails(evolve(plan, only=tuple(rest))):
                places, parts = rest, max(parts - 1, 2)
                break
        else:
            if size <= 1:
                break
            parts = min(parts * 2, len(places))
    return evolve(plan, only=tuple(places))


def command_of(plan: Plan) -> str:
    """The one line that runs *plan* again."""
    minutes = str(plan.minutes).removesuffix(".0")
    words = [f"python -m simulations {plan.scenario} --seed {plan.seed}"]
    words.append(f"--nodes {plan.nodes} --minutes {minutes}")
    if plan.strikes is None:
        words.append(
            f"--faults {','.join(plan.faults)}" + (" --all-kinds" if plan.all_kinds else "")
        )
    named = plan_of(plan.scenario, nodes=plan.nodes) if plan.scenario in SCENARIOS else plan
    if not plan.strikes and plan.strikes is not None and named.strikes != ():
        words.append("--faults none")
    if plan.overlay != "full" or named.overlay != "full":
        words.append(f"--overlay {plan.overlay}")
    if plan.only is not None:
        words.append(f"--only {','.join(map(str, plan.only)) or 'none'}")
    if plan.signatures != "stand-in":
        words.append(f"--signatures {plan.signatures}")
    return " ".join(words)
