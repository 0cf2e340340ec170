"""How all questions are measured: best of five, percentiles, memory, and the machine it was on."""

from __future__ import annotations

import gc
import os
import platform
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

from attrs import frozen

#: A shared machine is slower at times, and never faster than it is.
RUNS: Final = 5
SEED: Final = 48213


@frozen
class Row:
    """One measured figure: of *what*, for *whom*, at which input size; *aim* if there is one."""

    what: str
    whom: str
    size: str
    value: float
    unit: str
    aim: str = ""


@frozen
class Curve:
    """How one cost grows: (input size, seconds), and the order that is expected of it."""

    what: str
    points: tuple[tuple[int, float], ...]
    bound: str


@frozen
class Answer:
    """What one question came to."""

    rows: tuple[Row, ...] = ()
    curves: tuple[Curve, ...] = ()


@frozen(order=True)
class Took:
    """What an act took: seconds by the clock, and of the processor's time."""

    wall_s: float
    cpu_s: float


def best(run: Callable[[], Took], *, runs: int = RUNS) -> Took:
    """The least of each time that *run* says it took."""
    found = [run() for _ in range(runs)]
    return Took(min(t.wall_s for t in found), min(t.cpu_s for t in found))


def took(act: Callable[[], object]) -> Took:
    """Run *act*, with the garbage of what was before out of the way."""
    gc.collect()
    start, cpu = time.perf_counter(), time.process_time()
    act()
    return Took(time.perf_counter() - start, time.process_time() - cpu)


def percentile(values: Iterable[float], part: float) -> float:
    """The value that *part* (0 … 1) of *values* do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def rss_bytes(process: int | str = "self") -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def machine() -> str:
    """What the figures are of: processor, cores, system, Python."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()},"
        f" Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}"
    )


def version_of(distribution: str) -> str:
    """The installed version, empty if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table."""
    lines = [
        "| what | who | input | figure | aim |",
        "| --- | --- | --- | ---: | --- |",
    ]
    for row in rows:
        figure = f"{row.value:,.3g}" if row.value < 100 else f"{row.value:,.0f}"
        lines.append(f"| {row.what} | {row.whom} | {row.size} | {figure} {row.unit} | {row.aim} |")
    return "\n".join(lines)
