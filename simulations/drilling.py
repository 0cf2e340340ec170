"""`python -m simulations drill`: how many seeds and seconds until a planted mistake is found."""

from __future__ import annotations

import sys
import time

import click

from simulations.drills import DRILLS, hunt

SEEDS_MAX = 10_000


@click.command("drill")
@click.argument("names", nargs=-1, type=click.Choice(sorted(DRILLS)), metavar="[NAME]...")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, help="The first to try.")
@click.option("--seeds", type=click.IntRange(1, SEEDS_MAX), default=200, help="Tried at most.")
def main(names: tuple[str, ...], seed: int, seeds: int) -> None:
    """Plant mistakes, one after the other (all of them by default), and see who finds them."""
    missed = False
    for name in names or DRILLS:
        drill, begin_s = DRILLS[name], time.perf_counter()
        finding = hunt(drill, range(seed, seed + seeds))
        took = f"{time.perf_counter() - begin_s:.1f} s"
        print(f"{name}: {drill.about}")
        if finding is None:
            missed = True
            print(f"  NOT FOUND by {seeds} seeds, {took}", flush=True)
        else:
            missed = missed or finding.checker not in drill.found_by
            tried = finding.seed - seed + 1
            print(f"  found by {finding.checker!r} with seed {finding.seed}: {tried} tried, {took}")
            print(f"  {finding.what}", flush=True)
    sys.exit(missed)
