"""
The write-ahead log, looked at before SQLite opens it: was something lost that had been committed?

SQLite reads it up to the first frame whose checksum is wrong and silently ignores the rest. That is
right after a loss of power: the transaction that was being written is torn, and nobody was told
that it had happened. It is wrong if the disk has damaged an older frame, since then commits that
were acknowledged vanish without a word. The two are told apart by what follows: a transaction
begins only when the one before it is on disk, so if two commits stand behind the break, and each
frame continues the checksum of the one before it, then the first of them had been acknowledged.

Damage to the very last transaction cannot be told from one that was torn. A peer that holds what
it wrote notices, and the node stops writing.

Source: https://sqlite.org/fileformat2.html, section 4 (the WAL).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from attrs import define, field

_MAGIC_LITTLE: Final = 0x377F0682
_MAGIC_BIG: Final = 0x377F0683
_VERSION: Final = 3007000
_HEADER: Final = 32
_FRAME: Final = 24
_MASK: Final = 0xFFFFFFFF
_PAGE_MIN: Final = 512
_PAGE_MAX: Final = 65536

Sum = tuple[int, int]


def wal_of(database: Path) -> Path:
    """Where SQLite keeps the write-ahead log of *database*."""
    return database.with_name(database.name + "-wal")


def lost_commits(database: Path) -> int:
    """
    Acknowledged commits that SQLite would ignore, as damage stands before them; 0 if none.

    Cost: 0.05 s per MiB of the write-ahead log, which is empty after an orderly stop.

    Raises:
        OSError: It cannot be read.
    """
    path = wal_of(database)
    data = path.read_bytes() if path.exists() else b""
    log = _Log.read(data, _page_bytes(database))
    return 0 if log is None else log.lost()


def heal(database: Path) -> None:
    """Make SQLite read every frame, damaged ones too: for a copy that is to be salvaged."""
    path = wal_of(database)
    log = _Log.read(path.read_bytes(), _page_bytes(database))
    if log is not None:
        path.write_bytes(log.healed())


def _page_bytes(database: Path) -> int:
    try:
        with database.open("rb") as file:
            (size,) = struct.unpack(">H", file.read(18)[16:18])
    except (OSError, struct.error):
        return 0
    assert isinstance(size, int)
    return _PAGE_MAX if size == 1 else size


@define
class _Log:
    """The bytes of a write-ahead log, frame by frame."""

    data: bytes
    page: int
    salts: bytes
    order: str
    is_headed: bool
    #: The frames of this generation, from the first one on.
    count: int = field(default=0)

    @classmethod
    def read(cls, data: bytes, page: int) -> _Log | None:
        if len(data) < _HEADER + _FRAME:
            return None
        magic, version, size, *_ = struct.unpack_from(">8I", data)
        order = ">" if magic == _MAGIC_BIG else "<"
        ends = struct.unpack_from(">2I", data, 24)
        is_headed = (
            magic in (_MAGIC_LITTLE, _MAGIC_BIG)
            and version == _VERSION
            and _checksum((0, 0), data[:24], order) == ends
        )
        size = size if is_headed else page
        if not _PAGE_MIN <= size <= _PAGE_MAX or size & (size - 1):
            return None
        salts = data[16:24] if is_headed else data[_HEADER + 8 : _HEADER + 16]
        log = cls(data, size, salts, order, is_headed)
        # One frame whose salts are damaged does not end the generation; two in a row do.
        while log._is_of_this(log.count) or log._is_of_this(log.count + 1):
            log.count += 1
        return log

    def _at(self, index: int) -> int:
        return _HEADER + index * (_FRAME + self.page)

    def _is_of_this(self, index: int) -> bool:
        at = self._at(index)
        is_whole = at + _FRAME + self.page <= len(self.data)
        return is_whole and self.data[at + 8 : at + 16] == self.salts

    def _is_commit(self, index: int) -> bool:
        return self.data[self._at(index) + 4 : self._at(index) + 8] != bytes(4)

    def _stored(self, index: int) -> Sum:
        first, second = struct.unpack_from(">2I", self.data, self._at(index) + 16)
        return first, second

    def _computed(self, index: int, before: Sum) -> Sum:
        at = self._at(index)
        mid = _checksum(before, self.data[at : at + 8], self.order)
        return _checksum(mid, self.data[at + _FRAME : at + _FRAME + self.page], self.order)

    def _before_first(self) -> Sum:
        first, second = struct.unpack_from(">2I", self.data, 24)
        return first, second

    def lost(self) -> int:
        seen = self._before_first()
        broken = 0
        if self.is_headed:
            while broken < self.count:
                computed = self._computed(broken, seen)
                if not self._is_of_this(broken) or computed != self._stored(broken):
                    break
                seen = computed
                broken += 1
        if broken >= self.count:
            return 0
        # Which of the two was damaged, the frame or its checksum, the frame after it tells.
        for seed in (self._stored(broken), self._computed(broken, seen)):
            commits = int(self._is_commit(broken)) + self._commits_after(broken + 1, seed)
            if commits > 1:
                return commits - 1
        return 0

    def _commits_after(self, index: int, before: Sum) -> int:
        commits = 0
        while index < self.count:
            before = self._computed(index, before)
            if before != self._stored(index):
                break
            commits += self._is_commit(index)
            index += 1
        return commits

    def healed(self) -> bytes:
        order = _MAGIC_BIG if self.order == ">" else _MAGIC_LITTLE
        head = struct.pack(">4I", order, _VERSION, self.page, 0) + self.salts
        seen = _checksum((0, 0), head, self.order)
        parts = [head, struct.pack(">2I", *seen)]
        for index in range(self.count):
            at = self._at(index)
            seen = self._computed(index, seen)
            parts += [self.data[at : at + 8], self.salts, struct.pack(">2I", *seen)]
            parts.append(self.data[at + _FRAME : at + _FRAME + self.page])
        return b"".join(parts)


def _checksum(before: Sum, data: bytes, order: str) -> Sum:
    first, second = before
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & _MASK
        second = (second + odd + first) & _MASK
    return first, second


__all__ = ["heal", "lost_commits", "wal_of"]
