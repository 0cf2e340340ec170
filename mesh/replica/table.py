"""
The table of held entries: what is kept in memory of each, under its local number.

A local number *n* is the entry's place in this replica's log, from 1, ascending by arrival. Dots,
indexes and the fold speak of entries by it, since an int costs a tenth of a hash.
"""

from __future__ import annotations

from array import array

from attrs import define, field

from capability.entry import KIND_DATA, KIND_GRANT, LANE_DATA, Entry, Header
from capability.ids import ZERO_ID
from capability.verdict import Verdict
from mesh.worknode.cells import DOT_INDEX_BITS, DOT_INDEX_MASK, Dot


@define
class EntryTable:
    """Columns indexed by local number; row 0 is unused."""

    ids: list[bytes] = field(factory=lambda: [b""])
    authors: list[bytes] = field(factory=lambda: [b""])
    leaves: list[bytes] = field(factory=lambda: [b""])
    lanes: bytearray = field(factory=lambda: bytearray(1))
    verdicts: bytearray = field(factory=lambda: bytearray(1))
    #: Whether the frontier covers the entry: only then may anything rest on it.
    required: bytearray = field(factory=lambda: bytearray(1))
    parked: set[int] = field(factory=set)
    seqs: array[int] = field(factory=lambda: array("Q", [0]))
    hlcs: array[int] = field(factory=lambda: array("Q", [0]))
    number: dict[bytes, int] = field(factory=dict)
    by_leaf: dict[bytes, array[int]] = field(factory=dict)
    _interned: dict[bytes, bytes] = field(factory=dict)

    @property
    def last(self) -> int:
        """The greatest local number; 0 while nothing is held."""
        return len(self.ids) - 1

    def append(self, entry_id: bytes, header: Header) -> int:
        """Give the next local number to an entry; its id may still be empty while it is open."""
        n = len(self.ids)
        author = self._interned.setdefault(header.author, header.author)
        leaf = self._interned.setdefault(header.leaf, header.leaf)
        self.ids.append(entry_id)
        self.authors.append(author)
        self.leaves.append(leaf)
        self.lanes.append(header.lane)
        self.verdicts.append(Verdict.UNDECIDED)
        self.required.append(1)
        self.seqs.append(header.seq)
        self.hlcs.append(header.hlc)
        if entry_id:
            self.number[entry_id] = n
        self.by_leaf.setdefault(leaf, array("Q")).append(n)
        return n

    def name(self, n: int, entry: Entry) -> None:
        """Give a provisional row the id that sealing has made."""
        assert not self.ids[n], f"entry {n} is named already"
        self.ids[n] = entry.id
        self.number[entry.id] = n

    def counts(self, n: int) -> bool:
        """Whether the entry's operations are to be folded now."""
        return self.verdicts[n] == Verdict.COUNTS and n not in self.parked

    def order(self, n: int) -> tuple[bytes, int, bytes]:
        """(author, seq, id): what breaks a tie of stamps."""
        return self.authors[n], self.seqs[n], self.ids[n]

    def dot_id(self, at: Dot) -> bytes:
        """A dot's name everywhere: entry id ‖ index in two bytes."""
        # `dot_entry` and `dot_index`, which each hash of a state would call once per value.
        return self.ids[at >> DOT_INDEX_BITS] + (at & DOT_INDEX_MASK).to_bytes(2, "big")

    def header_facts(self, n: int) -> tuple[bytes, int, int, int, bytes]:
        """(author, lane, seq, hlc, leaf)."""
        return self.authors[n], self.lanes[n], self.seqs[n], self.hlcs[n], self.leaves[n]

    def header(self, n: int) -> Header:
        """All of a header that a verdict or a clock looks at, without reading the log for it."""
        author, lane, seq, hlc, leaf = self.header_facts(n)
        kind = KIND_DATA if lane == LANE_DATA else KIND_GRANT
        return Header(author, lane, seq, ZERO_ID, hlc, kind, leaf, 0, ZERO_ID)
