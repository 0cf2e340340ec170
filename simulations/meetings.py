"""
Small runs in which every kind of fault strikes, until each has met each checker often enough.

    python -m simulations.meetings --until 100

What a meeting is, `simulations.coverage` says. A run is a few hosts for a few virtual minutes; all
kinds strike in it, in an order that the seed draws, so that the rare ones are met as often as the
common ones. The tally is a file, written whole after each run, by a digest of the code: the count
can be stopped and taken up at any time.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import click
from attrs import evolve

from simulations.checkers import CHECKERS
from simulations.coverage import key, lacking, merged
from simulations.faults import FAULTS, GROUPS
from simulations.run import Plan, Result, simulate
from simulations.strike import SECOND_US, Strike
from simulations.tally import save, source_digest

SCHEMA_VERSION: Final = 1
LEAST: Final = 100
NODES: Final = 7
MINUTES: Final = 3.0
#: Liars of one run: as many as may lie of `NODES` hosts.
LIARS: Final = 2
#: When lies begin, in seconds: a liar turns once all that it has promised has spread.
LIES_AT_S: Final = 1.0
#: Kinds that often find nothing to befall strike more than once.
TIMES: Final = {
    "drop": 2,
    "reorder": 2,
    "truncate": 4,
    "reset": 2,
    "half_open": 2,
    "commit_lost": 2,
    "commit_kept": 2,
    "torn_commit": 3,
    "put_back": 2,
    "kill": 2,
    "pair": 2,
    "one_way": 2,
    "disk_full": 2,
    "join": 3,
    "double": 3,
}
#: Faults of single messages, by a rate.
_RATES: Final = frozenset({"loss", "drop", "duplicate", "reorder", "flip"})
#: Of so many draws of a rate the highest: at most of the others few hosts lose no message at all.
RATES_DRAWN: Final = 3
DEFAULT_FILE: Final = Path(".slow/meetings.json")


def plan_of_seed(seed: int) -> Plan:
    """Every kind of fault strikes, evenly spread, in a random order; two members lie."""
    random = Random(seed)
    liars = random.sample(range(1, NODES), LIARS)
    lies = list(GROUPS["byzantine"])
    others = [kind for kind in FAULTS if kind not in lies for _ in range(TIMES.get(kind, 1))]
    random.shuffle(lies)
    random.shuffle(others)
    strikes = [
        Strike(round(LIES_AT_S * SECOND_US), _whole_us(), kind, (liars[n % LIARS],))
        for n, kind in enumerate(lies)
    ]
    strikes += _spread(random, others)
    strikes.sort(key=lambda strike: strike.at_us)
    return Plan(
        scenario="meetings", seed=seed, nodes=NODES, minutes=MINUTES, strikes=tuple(strikes)
    )


def _whole_us() -> int:
    return round(MINUTES * 60 * SECOND_US)


def _spread(random: Random, kinds: list[str]) -> Iterator[Strike]:
    pause_us = _whole_us() // (len(kinds) + 1)
    for n, kind in enumerate(kinds, start=1):
        draws = [FAULTS[kind].draw(random, NODES) for _ in range(RATES_DRAWN)]
        drawn = max(draws, key=lambda one: one.amount) if kind in _RATES else draws[0]
        # Long ones end soon enough that others find hosts that are up and paths that are whole.
        yield evolve(drawn, at_us=n * pause_us, for_us=min(drawn.for_us, 4 * pause_us), kind=kind)


# -- the tally ----------------------------------------------------------------------------------


def load(path: Path, source: str) -> dict[str, Any]:
    """What *path* has counted of this source; nothing of another one is of use."""
    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = {}
    if kept.get("schema_version") != SCHEMA_VERSION or kept.get("source") != source:
        return {
            "schema_version": SCHEMA_VERSION,
            "source": source,
            "next_seed": 0,
            "cpu_s": 0.0,
            "faults": {},
            "met": {},
            "found": [],
        }
    return kept


def add(tally: dict[str, Any], result: Result, cpu_s: float) -> None:
    """Count one run."""
    tally["next_seed"] = result.seed + 1
    tally["cpu_s"] = round(tally["cpu_s"] + cpu_s, 2)
    tally["met"] = merged([tally["met"], result.checks])
    tally["faults"] = merged([tally["faults"], result.faults])
    tally["found"] += [f"seed {result.seed}: {said}" for said in result.violations]


def gather(path: Path, *, least: int = LEAST, most: int | None = None) -> dict[str, Any]:
    """
    Run seed after seed until each kind has met each checker *least* times, or a promise breaks.

    Args:
        path: Where the tally is, and is kept.
        least: Meetings of each pair.
        most: No more runs than so many now.
    """
    tally = load(path, source_digest())
    path.parent.mkdir(parents=True, exist_ok=True)
    runs = 0
    while lacks(tally, least) and not tally["found"] and (most is None or runs < most):
        began_s = time.process_time()
        result = simulate(plan_of_seed(tally["next_seed"]))
        add(tally, result, time.process_time() - began_s)
        save(path, tally)
        runs += 1
    return tally


def lacks(tally: dict[str, Any], least: int) -> dict[str, int]:
    """The pairs that have met less than *least* times."""
    return lacking(tally["met"], faults=FAULTS, checkers=CHECKERS, least=least)


def table(tally: dict[str, Any]) -> str:
    """One line for each kind: how often it struck, and with which checker it met least often."""
    lines = [f"{'fault':<18} {'struck':>8} {'least':>6}  checker"]
    for fault in FAULTS:
        met = {name: tally["met"].get(key(fault, name), 0) for name in CHECKERS}
        name = min(met, key=lambda one: met[one])
        lines.append(f"{fault:<18} {tally['faults'].get(fault, 0):>8} {met[name]:>6}  {name}")
    runs, cpu_s = tally["next_seed"], tally["cpu_s"]
    return "\n".join([*lines, f"{runs} runs, {cpu_s:.0f} s of CPU time"])


@click.command()
@click.option("--file", "path", type=click.Path(path_type=Path), default=DEFAULT_FILE)
@click.option("--until", type=click.IntRange(1), default=LEAST, help="Meetings of each pair.")
@click.option("--most", type=click.IntRange(1), help="No more runs than so many now.")
@click.option("--seed", type=click.IntRange(0), help="Run this seed alone and count nothing.")
def main(*, path: Path, until: int, most: int | None, seed: int | None) -> None:
    """Run until each kind of fault has met each checker, and print how often they have."""
    if seed is not None:
        result = simulate(plan_of_seed(seed))
        print(*result.violations, sep="\n")
        sys.exit(bool(result.violations))
    tally = gather(path, least=until, most=most)
    print(table(tally))
    for said in tally["found"]:
        print(f"VIOLATION {said}\n  python -m simulations.meetings --seed {said.split(':')[0][5:]}")
    sys.exit(bool(tally["found"] or lacks(tally, until)))


if __name__ == "__main__":
    main()
