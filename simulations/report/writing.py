"""Writing a report: one seed in full, with meters, and all seeds in short."""

from __future__ import annotations

import json
import platform
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from simulations.meters import SAMPLES_MAX, Meters
from simulations.report import figures
from simulations.run import Plan, Result, simulate
from simulations.world import SECOND_US, World

#: Virtual seconds that a run takes beside its own minutes: until members are linked, and the heal.
_AROUND_S: Final = 60.0


class PicturesMissing(Exception):
    """The extra for pictures is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "no pictures here: install 'worknode-mesh[sim]' in place of 'worknode-mesh' "
            "(pip install, or pipx install --force)"
        )


@frozen
class Measured:
    """A run with meters, and what it took here."""

    plan: Plan
    result: Result
    meters: Meters
    cpu_s: float
    memory_mb: int


def measure(plan: Plan) -> Measured:
    """Run *plan* with meters, which change nothing of it."""
    made: list[Meters] = []
    began_s = time.process_time()
    every_us = round((plan.minutes * 60 + _AROUND_S) * SECOND_US / SAMPLES_MAX)

    def meters(world: World) -> Meters:
        made.append(Meters(world, every_us))
        return made[0]

    result = simulate(plan, watchers=[meters])
    cpu_s = round(time.process_time() - began_s, 1)
    memory_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return Measured(plan, result, made[0], cpu_s, memory_mb)


def write(folder: Path, shown: Measured, results: Sequence[Result]) -> Path:
    """
    Write `report.html` and `report.json`.

    Args:
        folder: Made if it is not there.
        shown: The run that is shown in full.
        results: Of all runs.

    Raises:
        PicturesMissing: matplotlib is not installed.
        OSError: The folder cannot be written to.
    """
    try:
        from simulations.report.page import page  # noqa: PLC0415 - an extra, and heavy
    except ImportError as error:
        raise PicturesMissing from error
    data: dict[str, Any] = {
        "schema_version": figures.SCHEMA_VERSION,
        "run": figures.of_run(shown.plan, shown.result, shown.meters),
        "all": figures.of_all(results),
        "machine": {
            "cpu_s": shown.cpu_s,
            "memory_mb": shown.memory_mb,
            "python": platform.python_version(),
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(data) + "\n", encoding="utf-8")
    path = folder / "report.html"
    text = page(data["run"], data["all"], data["machine"])
    path.write_text(text, encoding="utf-8")
    return path
