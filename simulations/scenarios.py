"""
Scenarios by name: questions that people ask of a mesh, each a plan with defaults.

Most are a few strikes at fixed places of the run, so that the picture of it can be read;
`everything` draws all kinds of faults from the seed, and `hunt`, which looks for mistakes, the load
as well.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from attrs import evolve, field, frozen

from simulations.byzantine import HOSTS_PER_LIAR
from simulations.faults import FAULTS
from simulations.overlay import DRAWN
from simulations.run import Plan
from simulations.strike import SECOND_US, Strike
from simulations.workload import Load

Strikes = tuple[Strike, ...]


@frozen
class Scenario:
    """
    A named plan.

    Attributes:
        about: One line for people.
        strikes: Makes its fixed strikes for so many hosts and minutes; None: they are drawn.
        faults: Kinds that are drawn, unless the strikes are fixed.
        paces: The load is multiplied by one of these, which the seed draws, each as likely.
    """

    about: str
    nodes: int = 15
    minutes: float = 10.0
    strikes: Callable[[int, float], Strikes] | None = None
    faults: tuple[str, ...] = ()
    latency: str = "lan"
    regions: tuple[str, ...] = ("",)
    load: Load = field(factory=Load)
    overlay: str = "full"
    paces: tuple[float, ...] = (1.0,)


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


def _flapping(hosts: int, minutes: float) -> Strikes:
    """A link comes and goes, while four clocks run wrong and two machines crash."""
    at_us, for_us = _span(minutes, 0.1, 0.8)
    found = [Strike(at_us, for_us, "flapping", (0, 1), 5_000)]
    drifts = (50_000, -50_000, 1_000, -1_000)
    for number, ppm in zip(range(2, hosts), drifts, strict=False):
        found.append(Strike(at_us, for_us, "drift", (number,), ppm))
    for number, share in ((hosts - 1, 0.3), (hosts - 2, 0.5)):
        crash_us, down_us = _span(minutes, share, share + 0.1)
        found.append(Strike(crash_us, down_us, "power_loss", (number,)))
    return tuple(found)


def _slow(_hosts: int, minutes: float) -> Strikes:
    """One link takes a second each way, and the whole network loses one packet in twenty."""
    at_us, for_us = _span(minutes, 0.2, 0.7)
    return (
        Strike(at_us, for_us, "slow_link", (0, 1), SECOND_US),
        Strike(at_us, for_us, "loss", (), 500),
    )


def _clocks(_hosts: int, minutes: float) -> Strikes:
    """One clock jumps an hour ahead, another an hour back, and later they are set right."""
    at_us, for_us = _span(minutes, 0.2, 0.6)
    hour_ms = 3_600_000
    return (
        Strike(at_us, for_us, "step", (0,), hour_ms),
        Strike(at_us, for_us, "step", (1,), -hour_ms),
    )


def _coming_and_going(hosts: int, minutes: float) -> Strikes:
    """Two thirds of the hosts leave and come back, three times, each time others."""
    found = []
    for wave in range(3):
        at_us, for_us = _span(minutes, 0.1 + 0.25 * wave, 0.25 + 0.25 * wave)
        whom = tuple(n for n in range(hosts) if n % 3 != wave)
        found.append(Strike(at_us, for_us, "churn", whom))
    return tuple(found)


#: What four liars do. Who takes all and says nothing is one of them alone, since the others' lies
#: would be said on links that nobody keeps for long.
_WAYS: Final = (
    ("withholds",),
    ("lies", "replays", "forges", "garbage"),
    ("forks_data", "forks_authority"),
    ("floods", "future"),
)


def _liars(hosts: int, minutes: float) -> Strikes:
    """Members lie, up to four, but not more than a third; all ways are shared out among them."""
    at_us, for_us = _span(minutes, 0.15, 0.75)
    count = max(1, min(len(_WAYS), hosts // HOSTS_PER_LIAR))
    return tuple(
        Strike(at_us, for_us, kind, (1 + n % count,))
        for n, kinds in enumerate(_WAYS)
        for kind in kinds
        if hosts > 1
    )


def _double(hosts: int, minutes: float) -> Strikes:
    at_us, for_us = _span(minutes, 0.2, 0.7)
    return (Strike(at_us, for_us, "double", (hosts - 1,)),)


def _long_absence(hosts: int, minutes: float) -> Strikes:
    at_us, for_us = _span(minutes, 0.05, 0.95)
    return (Strike(at_us, for_us, "isolated", (hosts - 1,)),)


SCENARIOS: Final[dict[str, Scenario]] = {
    "everything": Scenario(
        "a random half of all kinds of faults, by the seed",
        faults=tuple(FAULTS),
        overlay=DRAWN,
    ),
    # What befalls a busy mesh hides what befalls an idle one, whose rows wait and whose logs are
    # short. A busy one takes five times the CPU and has not shown more mistakes a run, so each pace
    # has about the same CPU, not as many runs.
    "hunt": Scenario(
        "as everything, and the seed draws how busy the mesh is, too",
        faults=tuple(FAULTS),
        overlay=DRAWN,
        paces=(1.0, *[0.3] * 4, *[0.1] * 5),
    ),
    "calm": Scenario("no faults: what the load itself costs", strikes=lambda _hosts, _minutes: ()),
    "split_brain": Scenario(
        "two halves that do not reach each other", strikes=_over("halves", 0.5)
    ),
    "flapping_link": Scenario(
        "a link between two regions flaps, four clocks run wrong, two machines crash",
        strikes=_flapping,
        latency="wan",
        regions=("eu", "us-west"),
    ),
    "slow_link": Scenario("one link takes a second, and packets are lost", strikes=_slow),
    "clock_jump": Scenario("one clock jumps an hour ahead, another back", strikes=_clocks),
    "coming_and_going": Scenario(
        "two thirds leave and return, again and again", strikes=_coming_and_going
    ),
    "region_loss": Scenario(
        "a region of three is cut off, inside, too",
        strikes=_over("region_loss", 1 / 3),
        latency="wan",
        regions=("us-east", "us-west", "eu"),
    ),
    "thousand": Scenario(
        "a thousand full replicas write a thousand tasks, half of the time in two halves",
        nodes=1_000,
        minutes=2.0,
        strikes=_over("halves", 0.5),
        # One task for each host in these minutes, on average.
        load=Load(1 / 120, 0.0, {"create": 1}, {}),
    ),
    "crash_storm": Scenario("a third of the hosts is killed, again and again", strikes=_storm),
    "long_offline": Scenario("one host works off line for most of the run", strikes=_long_absence),
    "byzantine": Scenario(
        "four members lie, most in several ways at once", nodes=12, minutes=3.0, strikes=_liars
    ),
    "double_identity": Scenario("one home is copied and runs on two machines", strikes=_double),
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
    # A source of its own, as for the strikes.
    pace = Random(seed ^ 0x9ACE).choice(scenario.paces)
    plan = Plan(
        scenario=name,
        seed=seed,
        nodes=count,
        minutes=long,
        faults=scenario.faults,
        latency=scenario.latency,
        regions=scenario.regions,
        load=scenario.load.at(pace),
        overlay=scenario.overlay,
    )
    return plan if scenario.strikes is None else evolve(plan, strikes=scenario.strikes(count, long))
