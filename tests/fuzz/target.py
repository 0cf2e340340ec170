"""What a fuzz target is, the bounds that each input is held to, and where targets are found."""

from __future__ import annotations

import importlib
import signal
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from attrs import frozen

FOLDER: Final = Path(__file__).resolve().parent
ROOT: Final = FOLDER.parents[1]
CORPUS: Final = FOLDER / "corpus"
CRASHERS: Final = FOLDER / "crashers"
#: Longer than any input needs, by far; a hang is a finding.
INPUT_S_MAX: Final = 10
KIB: Final = 1024

#: Target → the module that has it. A target's module is imported only when it is run, so that
#: the instrumented imports are those that it needs.
MODULES: Final = {
    "channel": "channels",
    "identity": "channels",
    "frames": "channels",
    "wire": "decoders",
    "codec": "decoders",
    "entry": "decoders",
    "header": "decoders",
    "body": "decoders",
    "data": "decoders",
    "ticket": "decoders",
    "peer": "decoders",
    "row": "decoders",
    "greeting": "engines",
    "engine": "engines",
    "replica": "replicas",
    "snapshot": "disks",
    "storage": "disks",
    "beads": "trackers",
}


class Broken(AssertionError):
    """A promise that a decoder makes was not kept."""


@frozen
class Target:
    """
    One decoder under fuzzing.

    Attributes:
        run: Takes any bytes. Named errors of the decoder end inside; all else is a finding.
        seeds: Inputs to begin with, made by the project's own encoders.
        size_max: Of an input, in bytes.
        memory: Bytes that one input may allocate at most, and bytes more for each of its bytes.
        is_packed: Whether inputs are MessagePack, whose shape the mutator then keeps.
        prefix: Bytes before the MessagePack that say how it is to be taken.
    """

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    size_max: int = 4 * KIB
    memory: tuple[int, int] = (256 * KIB, 100)
    is_packed: bool = True
    prefix: int = 0


def find(name: str) -> Target:
    """The target *name*; imports what it tests."""
    module = importlib.import_module(f"tests.fuzz.{MODULES[name]}")
    return next(target for target in module.TARGETS if target.name == name)


def kept(name: str) -> list[Path]:
    """The inputs that are kept for a target: its corpus and what once broke it."""
    folders = (CORPUS / name, CRASHERS / name)
    return sorted(path for folder in folders if folder.is_dir() for path in folder.iterdir())


def run_measured(target: Target, data: bytes) -> int:
    """Run once; the peak of allocated bytes. Broken if it is above the target's bound."""
    base, per_byte = target.memory
    tracemalloc.start()
    try:
        target.run(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if peak > base + per_byte * len(data):
        raise Broken(f"{target.name}: {peak} bytes allocated for an input of {len(data)}")
    return peak


@contextmanager
def in_time() -> Iterator[None]:
    """Break what does not end within `INPUT_S_MAX`."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise Broken(f"not done within {INPUT_S_MAX} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(INPUT_S_MAX)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
