"""
The tally of seeds: which were run on which source, and what they found. `make seeds` carries it on.

Each run is the scenario `hunt`: ten virtual minutes of fifteen hosts. The file is written
after every run, whole, so that the count can be stopped and taken up at any time. What an older
source has run is kept under its own digest: it says how much was hunted, not what holds today.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from simulations.run import Plan, Result, broken_off, simulate
from simulations.scenarios import plan_of
from simulations.shrink import command_of
from simulations.sweep import cores, sweep

SCHEMA_VERSION: Final = 1
ROOT: Final = Path(__file__).parent.parent
#: What a run depends on; a change of any of them is another source.
SOURCES: Final = ("crdt", "capability", "mesh", "simulations")
#: Sources of which the tally keeps the count; older ones are added up.
SOURCES_KEPT_MAX: Final = 20
OLDER: Final = "older"
#: Broken promises that are kept with their seeds.
FOUND_MAX: Final = 200


def source_digest() -> str:
    """One hash over all that a run depends on, 12 hex digits."""
    digest = hashlib.blake2b(digest_size=6)
    for package in SOURCES:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def empty() -> dict[str, Any]:
    """A tally of nothing."""
    return {"schema_version": SCHEMA_VERSION, "next_seed": 0, "found": [], "sources": {}}


def load(path: Path) -> dict[str, Any]:
    """
    The tally in *path*, or an empty one.

    Raises:
        click.ClickException: It is not a tally of this version.
    """
    if not path.exists():
        return empty()
    try:
        tally: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise click.ClickException(f"{path}: no tally: {error}") from None
    if tally.get("schema_version") != SCHEMA_VERSION:
        raise click.ClickException(f"{path}: a tally of another version; move it away")
    return tally


def save(path: Path, tally: dict[str, Any]) -> None:
    """Write the whole file, or leave the old one."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(tally, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    beside.replace(path)


def add(tally: dict[str, Any], source: str, plan: Plan, result: Result, cpu_s: float) -> None:
    """Count one run."""
    tally["next_seed"] = max(tally["next_seed"], result.seed + 1)
    row = tally["sources"].setdefault(source, _row())
    row["runs"] += 1
    row["cpu_s"] = round(row["cpu_s"] + cpu_s, 1)
    row["virtual_s"] = round(row["virtual_s"] + result.virtual_s, 1)
    row["messages"] += result.messages
    for kind, count in result.faults.items():
        row["faults"][kind] = row["faults"].get(kind, 0) + count
    if result.violations:
        row["violations"] += 1
        found = {"source": source, "command": command_of(plan), "said": list(result.violations)}
        tally["found"] = [*tally["found"], found][-FOUND_MAX:]
    _fold_older(tally)


def _row() -> dict[str, Any]:
    return {
        "runs": 0,
        "violations": 0,
        "cpu_s": 0.0,
        "virtual_s": 0.0,
        "messages": 0,
        "faults": {},
        "order": time.time_ns(),
    }


def _fold_older(tally: dict[str, Any]) -> None:
    rows = tally["sources"]
    named = sorted((name for name in rows if name != OLDER), key=lambda name: rows[name]["order"])
    for name in named[:-SOURCES_KEPT_MAX]:
        row, total = rows.pop(name), rows.setdefault(OLDER, _row())
        for key in ("runs", "violations", "cpu_s", "virtual_s", "messages"):
            total[key] = round(total[key] + row[key], 1)
        for kind, count in row["faults"].items():
            total["faults"][kind] = total["faults"].get(kind, 0) + count


def runs(tally: dict[str, Any], source: str | None = None) -> int:
    """How many runs were counted, in all or on one source."""
    rows = tally["sources"]
    chosen = rows.values() if source is None else [rows[source]] if source in rows else []
    return sum(int(row["runs"]) for row in chosen)


def timed(plan: Plan) -> tuple[Result, float]:
    """A run, and the CPU seconds that it took. What breaks off is a broken promise."""
    began_s = time.process_time()
    try:
        result = simulate(plan)
    except Exception as error:  # noqa: BLE001 - a finding like others, and the hunt goes on
        result = broken_off(plan, error)
    return result, time.process_time() - began_s


def _plans(first: int, count: int, nodes: int, minutes: float) -> Iterator[Plan]:
    for seed in range(first, first + count):
        yield plan_of("hunt", seed=seed, nodes=nodes, minutes=minutes)


@click.command()
@click.option("--file", "path", type=click.Path(path_type=Path), default=Path("docs/seeds.json"))
@click.option("--until", type=click.IntRange(1), default=10_000, help="Runs on this source.")
@click.option("--most", type=click.IntRange(1), help="No more than so many now.")
@click.option("--nodes", type=click.IntRange(2), default=15, show_default=True)
@click.option("--minutes", type=click.FloatRange(0.1), default=10.0, show_default=True)
@click.option("--jobs", type=click.IntRange(0), default=0, help="Runs at once; 0: all cores.")
def main(
    *, path: Path, until: int, most: int | None, nodes: int, minutes: float, jobs: int
) -> None:
    """Run seed after seed with all kinds of faults, and keep count."""
    tally, source = load(path), source_digest()
    count = until - runs(tally, source)
    count = min(count, most) if most is not None else count
    plans = {plan.seed: plan for plan in _plans(tally["next_seed"], count, nodes, minutes)}
    began_s, broken = time.monotonic(), 0
    runs_now = sweep(timed, plans.values(), jobs=jobs or cores())
    for done, (result, cpu_s) in enumerate(runs_now, start=1):
        add(tally, source, plans[result.seed], result, cpu_s)
        save(path, tally)
        for violation in result.violations:
            broken += 1
            print(f"\nVIOLATION {violation}\n  {command_of(plans[result.seed])}", flush=True)
        pace_s = (time.monotonic() - began_s) / done
        line = f"{runs(tally, source):,} runs, {broken} broken; {pace_s:.1f} s each"
        print(f"\r{line}", end="", file=sys.stderr, flush=True)
    print(f"\n{runs(tally, source):,} runs on this source, {runs(tally):,} in all", file=sys.stderr)
    sys.exit(broken > 0)


if __name__ == "__main__":
    main()
