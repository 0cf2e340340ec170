"""
What a loss of power may leave of a home: worked out from a trace of what a process did to it.

`trace.c` writes down each write, truncation, sync and change of names in a folder, and between them
what the process said. `Disk` replays that up to a point. What was synced is there; of what was not,
each sector of each write may be there or not, whatever came before or after it, and so may each
name that was made, changed or removed since its folder was synced. The order of the writes is not
kept, as disks and file systems reorder them. A sector is whole: SQLite relies on that, too
("powersafe overwrite"), and its log shares sectors between commits.

Source: Pillai et al., All File Systems Are Not Created Equal (OSDI 2014): what may be reordered.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import pytest
from attrs import define, field, frozen

SOURCE: Final = Path(__file__).with_name("trace.c")
SECTOR: Final = 512
#: Not on the disk's account: shared memory, sockets, and what is locked but never read.
_IGNORED: Final = ("-shm", ".sock", "node.lock")
_HEAD: Final = struct.Struct("=5Q")


@cache
def tracer() -> Path:
    """The library to preload; skips where there is none to be had."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("needs Linux and a C compiler")
    library = Path(mkdtemp(prefix="mesh-trace-")) / "trace.so"
    command = [compiler, "-Wall", "-Werror", "-O2", "-shared", "-fPIC", "-o", library, SOURCE]
    subprocess.run([*command, "-lpthread", "-ldl"], check=True)
    return library


def traced(folder: Path, out: Path, *, full: tuple[int, int] = (0, 0)) -> dict[str, str]:
    """
    The environment in which a process writes its trace of *folder* to *out*.

    Args:
        folder: Its files are watched.
        out: A new file.
        full: From which write on the disk has no space, and for how many; (0, 0): it has.
    """
    return {
        "LD_PRELOAD": str(tracer()),
        "MESH_TRACE_ROOT": str(folder),
        "MESH_TRACE_OUT": str(out),
        "MESH_TRACE_FULL": "{}:{}".format(*full),
    }


@frozen
class Step:
    """One record of a trace."""

    kind: str
    inode: int
    at: int
    name: str
    data: bytes


def read_trace(path: Path) -> list[Step]:
    """All whole records; a process that is killed may leave a last one cut short."""
    raw = path.read_bytes()
    steps: list[Step] = []
    at = 0
    while at + _HEAD.size <= len(raw):
        kind, inode, place, name_bytes, data_bytes = _HEAD.unpack_from(raw, at)
        at += _HEAD.size
        end = at + name_bytes + data_bytes
        if end > len(raw):
            break
        name = os.fsdecode(raw[at : at + name_bytes])
        steps.append(Step(chr(kind), inode, place, name, raw[at + name_bytes : end]))
        at = end
    return steps


@define
class File:
    """A file's synced bytes, and what was done to it since."""

    synced: bytearray = field(factory=bytearray)
    #: (place, bytes), or (size, None) for a truncation.
    since: list[tuple[int, bytes | None]] = field(factory=list)

    def sync(self) -> None:
        for at, data in self.since:
            _apply(self.synced, at, data)
        self.since.clear()

    def left(self, chance: float, source: random.Random) -> bytes:
        """The bytes after a loss of power; *chance* is that of each sector not yet synced."""
        found = bytearray(self.synced)
        for at, data in self.since:
            if data is None:
                if source.random() < chance:
                    _apply(found, at, None)
                continue
            for start, piece in _sectors(at, data):
                if source.random() < chance:
                    _apply(found, start, piece)
        return bytes(found)


def _sectors(at: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    first = SECTOR - at % SECTOR
    cuts = [0, *range(first, len(data), SECTOR), len(data)]
    for start, end in pairwise(cuts):
        yield at + start, data[start:end]


def _apply(found: bytearray, at: int, data: bytes | None) -> None:
    if data is None:
        del found[at:]
        found.extend(bytes(at - len(found)))
    else:
        found.extend(bytes(max(0, at - len(found))))
        found[at : at + len(data)] = data


#: A name and what it stands for from then on: a file, a folder (None), or nothing.
_FOLDER: Final = object()
_GONE: Final = object()


@define
class Disk:
    """A folder as the process saw it, and what of it is durable."""

    root: Path
    files: dict[int, File] = field(factory=dict)
    #: What each name stands for: as the process sees it, and as the disk has it.
    seen: dict[str, object] = field(factory=dict)
    kept: dict[str, object] = field(factory=dict)
    #: Changes of names that were not synced yet: each is a set of names that change together.
    since: list[dict[str, object]] = field(factory=list)
    #: Lines that the process said so far.
    said: bytearray = field(factory=bytearray)

    @classmethod
    def of(cls, root: Path) -> Disk:
        """The folder as it is now, all of it durable."""
        disk = cls(root)
        for path in sorted([root, *root.rglob("*")]):
            if path.is_dir():
                disk.seen[str(path)] = _FOLDER
            elif path.is_file():
                inode = path.stat().st_ino
                disk.files[inode] = disk.files.get(inode) or File(bytearray(path.read_bytes()))
                disk.seen[str(path)] = disk.files[inode]
        disk.kept = dict(disk.seen)
        return disk

    def take(self, step: Step) -> None:
        """The next record of the trace."""
        match step.kind:
            case "M":
                self.said += step.data
            case "W":
                self.files[step.inode].since.append((step.at, step.data))
            case "T":
                self.files[step.inode].since.append((step.at, None))
            case "F" if self.seen.get(step.name) is not _FOLDER:
                self.files[step.inode].sync()
            case "F":
                self._sync_folder(step.name)
            case _:
                self._name(self._renamed(step))

    def _renamed(self, step: Step) -> dict[str, object]:
        target = os.fsdecode(step.data)
        match step.kind:
            case "C":
                self.files[step.inode] = File()
                return {step.name: self.files[step.inode]}
            case "R":
                return {target: self.seen.get(step.name, _GONE), step.name: _GONE}
            case "L":
                return {target: self.seen[step.name]}
            case "U":
                return {step.name: _GONE}
            case "D":
                return {step.name: _FOLDER}
            case _:
                raise AssertionError(f"no such record: {step.kind}")

    def _name(self, change: dict[str, object]) -> None:
        self.since.append(change)
        _rename(self.seen, change)

    def _sync_folder(self, name: str) -> None:
        def is_here(change: dict[str, object]) -> bool:
            return any(str(Path(each).parent) == name for each in change)

        for change in filter(is_here, self.since):
            _rename(self.kept, change)
        self.since = [change for change in self.since if not is_here(change)]

    def lose_power(self, to: Path, chance: float, source: random.Random) -> None:
        """Put what is left into the new folder *to*; *chance* is that of what was not synced."""
        names = dict(self.kept)
        for change in self.since:
            if source.random() < chance:
                _rename(names, change)
        to.mkdir(mode=0o700)
        for name, what in sorted(names.items()):
            place = to / Path(name).relative_to(self.root)
            if name.endswith(_IGNORED):
                continue
            if what is _FOLDER:
                place.mkdir(mode=0o700, exist_ok=True)
            elif isinstance(what, File) and place.parent.exists():
                handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "wb") as out:
                    out.write(what.left(chance, source))


def _rename(names: dict[str, object], change: dict[str, object]) -> None:
    for name, what in change.items():
        if what is _GONE:
            names.pop(name, None)
        else:
            names[name] = what
