"""
The records of all Worknodes, of which those that rest are packed into bytes.

A Worknode of ten fields is 3 KiB of Python objects and 0.5 KiB of bytes. Most of them rest, so what
is not being changed is packed: at start-up everything, later the records that were changed longest
ago (`cool`). Whoever reads gets a record made for the purpose; only what `warm` gives is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, Generic, TypeVar

from crdt.errors import CrdtError
from mesh.core.errors import DamagedRecord

Record = TypeVar("Record")
Part = TypeVar("Part")

#: What comes of bytes that are no record.
_DISORDER: Final = (CrdtError, AttributeError, LookupError, OverflowError, TypeError, ValueError)

#: Records that are kept unpacked. A guess: what a busy day works on, 50 MB at most.
HOT_MAX: Final = 16_384
#: Records that one `cool` packs, so that it takes 20 ms at most.
COOLED_AT_ONCE: Final = 1_024
#: Records that were read lately, so that one view does not unpack one Worknode ten times.
_RECENT_MAX: Final = 256


class Shelf(Generic[Record]):
    """A mapping from Worknode to record; *pack* and *unpack* translate."""

    __slots__ = ("_cold", "_hot", "_pack", "_recent", "_unpack")

    def __init__(self, pack: Callable[[Record], bytes], unpack: Callable[[bytes], Record]) -> None:
        self._pack = pack
        self._unpack = unpack
        self._hot: dict[bytes, Record] = {}
        self._cold: dict[bytes, bytes] = {}
        self._recent: dict[bytes, Record] = {}

    def __getitem__(self, node: bytes) -> Record:
        record = self.get(node)
        if record is None:
            raise KeyError(node)
        return record

    def get(self, node: bytes) -> Record | None:
        """The record for reading; a change of it may be lost."""
        record = self.seen(node)
        if record is None:
            packed = self._cold.get(node)
            if packed is None:
                return None
            record = self._open(node, packed)
            if len(self._recent) >= _RECENT_MAX:
                self._recent.pop(next(iter(self._recent)))
            self._recent[node] = record
        return record

    def seen(self, node: bytes) -> Record | None:
        """The record for reading, if it need not be unpacked."""
        return self._hot.get(node) or self._recent.get(node)

    def warm(self, node: bytes) -> Record | None:
        """The record for changing, until the next `cool`; None if there is none."""
        record = self._hot.get(node)
        if record is None:
            packed = self._cold.get(node)
            if packed is None:
                return None
            record = self._hot[node] = self._open(node, packed)
            del self._cold[node]
            self._recent.pop(node, None)
        return record

    def glance(self, node: bytes, part: Callable[[bytes], Part]) -> Part | None:
        """What *part* reads from a record that rests; None of any other."""
        packed = self._cold.get(node)
        return None if packed is None else self._read(node, packed, part)

    def _open(self, node: bytes, packed: bytes) -> Record:
        return self._read(node, packed, self._unpack)

    def _read(self, node: bytes, packed: bytes, read: Callable[[bytes], Part]) -> Part:
        try:
            return read(packed)
        except _DISORDER as error:
            raise DamagedRecord(
                f"this node's snapshot of the Worknode {node.hex()} cannot be read: {error}",
                hint="the node folds its log again by itself; try again in a moment",
            ) from error

    def packed(self, node: bytes) -> bytes | None:
        """The bytes of a record that rests, None of any other."""
        return self._cold.get(node)

    def __setitem__(self, node: bytes, record: Record) -> None:
        self._cold.pop(node, None)
        self._recent.pop(node, None)
        self._hot[node] = record

    def clear(self) -> None:
        """Forget everything."""
        self._hot, self._cold, self._recent = {}, {}, {}

    def __contains__(self, node: object) -> bool:
        return node in self._hot or node in self._cold

    def __iter__(self) -> Iterator[bytes]:
        yield from list(self._cold)
        yield from list(self._hot)

    def __len__(self) -> int:
        return len(self._hot) + len(self._cold)

    def keys(self) -> Iterator[bytes]:
        return iter(self)

    def items(self) -> Iterator[tuple[bytes, Record]]:
        """Everything, unpacked one by one, for reading."""
        return ((node, self[node]) for node in self)

    def put_packed(self, node: bytes, packed: bytes) -> None:
        """Take a record that rests from a snapshot."""
        self._cold[node] = packed

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Everything, packed."""
        yield from self._cold.items()
        for node, record in self._hot.items():
            yield node, self._pack(record)

    def cool(self) -> None:
        """Pack the oldest of what is over the bound. Nobody may hold a record that `warm` gave."""
        over = len(self._hot) - HOT_MAX
        if over <= 0:
            return
        for node in list(islice(self._hot, min(over, COOLED_AT_ONCE))):
            self._cold[node] = self._pack(self._hot.pop(node))
