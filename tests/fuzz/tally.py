"""
The long campaign and how far it is: `.slow/fuzz.jsonl`, a row for each stretch of fuzzing.

A target has its minutes when its stretches add up to them on the code as it is now, that is on all
files of the project that the target loads. So a campaign can be stopped at any time and goes on
where it was, and a change is fuzzed anew where it matters and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from attrs import asdict, frozen

from tests.fuzz.campaign import Tally, campaign
from tests.fuzz.target import MODULES, ROOT

TALLY: Final = ROOT / ".slow" / "fuzz.jsonl"
#: Of each target, of CPU time. A shorter look may ask for less: `FUZZ_SECONDS=60`.
SECONDS: Final = int(os.environ.get("FUZZ_SECONDS", "600"))
#: By the clock. What is lost when a campaign is stopped, and what its last stretch may exceed.
STRETCH_S: Final = 120

_LOADED: Final = """
import sys
from tests.fuzz.target import find
list(find(sys.argv[1]).seeds())
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None) or "")
"""


@frozen
class Row:
    """One stretch."""

    target: str
    code: str
    executions: int
    cpu_s: float
    edges: int
    features: int
    finding: str

    @classmethod
    def of(cls, tally: Tally, code: str) -> Self:
        counted = (tally.executions, round(tally.cpu_s, 1), tally.edges, tally.features)
        return cls(tally.target, code, *counted, tally.finding)


def code_of(name: str) -> str:
    """What stands for the code that a target loads."""
    command = [sys.executable, "-c", _LOADED, name]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    inside = {Path(line) for line in said.stdout.splitlines() if line.startswith(f"{ROOT}/")}
    whole = hashlib.sha256()
    for path in sorted(path for path in inside if ".venv" not in path.parts):
        whole.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()[:16]


def rows() -> list[Row]:
    """Every stretch so far."""
    lines = TALLY.read_text().splitlines() if TALLY.exists() else []
    return [Row(**json.loads(line)) for line in lines]


def total(name: str, code: str) -> Tally:
    """The stretches of a target on this code that found nothing, as one run."""
    mine = [row for row in rows() if (row.target, row.code, row.finding) == (name, code, "")]
    return Tally(
        target=name,
        executions=sum(row.executions for row in mine),
        cpu_s=sum(row.cpu_s for row in mine),
        edges=max((row.edges for row in mine), default=0),
        features=max((row.features for row in mine), default=0),
        finding="",
        words="",
    )


def fuzz(name: str) -> Tally:
    """Fuzz a target until it has its minutes or something is found."""
    code = code_of(name)
    # What is new goes beside the tally, not among what is kept.
    corpus = TALLY.parent / "corpus" / name
    while (done := total(name, code)).cpu_s < SECONDS:
        tally = campaign(name, corpus, seconds=STRETCH_S)
        TALLY.parent.mkdir(exist_ok=True)
        with TALLY.open("a") as file:
            file.write(json.dumps(asdict(Row.of(tally, code))) + "\n")
        if tally.finding:
            return tally
    return done


def table() -> Iterator[str]:
    """How far each target is, on the code as it is now."""
    for name in MODULES:
        yield total(name, code_of(name)).line()
