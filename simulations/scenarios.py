"""
Scenarios by name: questions that people ask of a mesh, each a plan with defaults.

Most are a few strikes at fixed places of the run, so that the picture of it can be read;
`everything` draws all kinds of faults from the seed, and is what the hunt for mistakes uses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import evolve, frozen

from simulations.faults import FAULTS
from simulations.run import Plan
from simulations.strike import SECOND_US, Strike

Strikes = tuple[Strike, ...]


@frozen
class Scenario:
    """
    A named plan.

    Attributes:
        about: One line for people.
        strikes: Makes its fixed strikes for so many hosts and minutes; None: they are drawn.
        faults: Kinds that are drawn, unless the strikes are fixed.
    """

    about: str
    nodes: int = 15
    minutes: float = 10.0
    strikes: Callable[[int, float], Strikes] | None = None
    faults: tuple[str, ...] = ()
    latency: str = "lan"
    regions: tuple[str, ...] = ("",)


def _span(minutes: float, begin: float, end: float) -> tuple[int, int]:
    """From one share of the run to another: (at_us, for_us)."""
    whole = minutes * 60 * SECOND_US
    return round(whole * begin), round(whole * (end - begin))


def _first(hosts: int, share: float) -> tuple[int, ...]:
    return tuple(range(max(1, round(hosts * share))))


def _over(kind: str, share: float, *, amount: int = 0) -> Callable[[int, float], Strikes]:
    """One long strike of *kind* on the first *share* of the hosts, in the middle of the run."""

    def strikes(hosts: int, minutes: float) -> Strikes:
        at_us, for_us = _span(minutes, 0.2, 0.7)
        return (Strike(at_us, for_us, kind, _first(hosts, share), amount),)

    return strikes


def _storm(hosts: int, minutes: float) -> Strikes:
    """Again and again another third of the hosts is killed, and comes back."""
    found: list[Strike] = []
    for wave in range(6):
        at_us, for_us = _span(minutes, 0.1 + 0.1 * wave, 0.15 + 0.1 * wave)
        found += [Strike(at_us, for_us, "kill", (n,)) for n in range(wave % 3, hosts, 3)]
    return tuple(found)


def _long_absence(hosts: int, minutes: float) -> Strikes:
    at_us, for_us = _span(minutes, 0.05, 0.95)
    return (Strike(at_us, for_us, "isolated", (hosts - 1,)),)


SCENARIOS: Final[dict[str, Scenario]] = {
    "everything": Scenario(
        "a random half of all kinds of faults, by the seed", faults=tuple(FAULTS)
    ),
    "calm": Scenario("no faults: what the load itself costs", strikes=lambda _hosts, _minutes: ()),
    "split_brain": Scenario(
        "two halves that do not reach each other", strikes=_over("halves", 0.5)
    ),
    "crash_storm": Scenario("a third of the hosts is killed, again and again", strikes=_storm),
    "long_offline": Scenario("one host works off line for most of the run", strikes=_long_absence),
}


def plan_of(
    name: str, *, seed: int = 0, nodes: int | None = None, minutes: float | None = None
) -> Plan:
    """
    The plan of a scenario, with the defaults that are not given.

    Raises:
        KeyError: There is no scenario of that name.
    """
    scenario = SCENARIOS[name]
    count = scenario.nodes if nodes is None else nodes
    long = scenario.minutes if minutes is None else minutes
    plan = Plan(
        scenario=name,
        seed=seed,
        nodes=count,
        minutes=long,
        faults=scenario.faults,
        latency=scenario.latency,
        regions=scenario.regions,
    )
    return plan if scenario.strikes is None else evolve(plan, strikes=scenario.strikes(count, long))
