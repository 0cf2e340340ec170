"""
Fuzz one decoder: `python -m tests.fuzz TARGET --seconds 600`.

New inputs that reach new code are added to the corpus folder; what breaks a target is written to
`tests/fuzz/crashers/TARGET`, where the quick tests take it up. The long campaign of `make slow` is
`python -m tests.fuzz --all`, which goes on where it was stopped; `--table` says how far it is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz.campaign import Tally, campaign, keep, plant
from tests.fuzz.tally import fuzz, table
from tests.fuzz.target import CORPUS, MODULES, find


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", choices=sorted(MODULES))
    parser.add_argument("--all", action="store_true", help="go on with the long campaign")
    parser.add_argument("--table", action="store_true", help="how far the long campaign is")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, help="where inputs are found and kept")
    parser.add_argument("--seed", type=int, default=0, help="0: another one on every run")
    parser.add_argument("--plant", action="store_true", help="only write the first inputs")
    parser.add_argument("--keep", type=Path, help="take up what is new in this folder, and end")
    said = parser.parse_args()
    if said.all:
        return _go_on()
    if said.table:
        print(*table(), sep="\n")
        return 0
    if said.target is None:
        parser.error("which target?")
    corpus = said.corpus or CORPUS / said.target
    if said.plant:
        plant(find(said.target), corpus)
        return 0
    if said.keep:
        print(f"{said.target}: {keep(said.target, said.keep)} inputs kept")
        return 0
    tally: Tally = campaign(said.target, corpus, seconds=said.seconds, seed=said.seed)
    print(tally.line())
    if tally.finding:
        print(f"{tally.finding}\n{tally.words}", file=sys.stderr)
    return bool(tally.finding)


def _go_on() -> int:
    tallies = []
    for name in MODULES:
        tallies.append(fuzz(name))
        print(tallies[-1].line(), flush=True)
    return any(tally.finding for tally in tallies)


if __name__ == "__main__":
    sys.exit(main())
