"""
Where entries wait that cannot be held yet: deferred behind a gap, or of an unknown author.

Both rooms are bounded in entries and bytes, hold only entries whose signature was verified, and
evict the oldest arrival; what is evicted is asked for again by repair, so nothing is lost. They
never push back, since that would hold up the very repair that empties them.
"""

from __future__ import annotations

from attrs import define, field

from capability.entry import Entry

LaneKey = tuple[bytes, int]


@define
class Room:
    """Entries by id in order of arrival, with an index by lane."""

    entries_max: int
    bytes_max: int
    entries: dict[bytes, Entry] = field(factory=dict)
    size: int = 0
    evicted: int = 0
    _lanes: dict[LaneKey, dict[int, dict[bytes, None]]] = field(factory=dict)

    def __len__(self) -> int:
        return len(self.entries)

    def put(self, entry: Entry) -> bool:
        """Let an entry wait; whether it was news. May evict the oldest."""
        if entry.id in self.entries:
            return False
        self.entries[entry.id] = entry
        self.size += len(entry.body)
        key = (entry.header.author, entry.header.lane)
        self._lanes.setdefault(key, {}).setdefault(entry.header.seq, {})[entry.id] = None
        while len(self.entries) > self.entries_max or self.size > self.bytes_max:
            self.take(next(iter(self.entries)))
            self.evicted += 1
        return True

    def take(self, entry_id: bytes) -> Entry:
        """Remove and return one entry."""
        entry = self.entries.pop(entry_id)
        self.size -= len(entry.body)
        key = (entry.header.author, entry.header.lane)
        seqs = self._lanes[key]
        ids = seqs[entry.header.seq]
        del ids[entry_id]
        if not ids:
            del seqs[entry.header.seq]
            if not seqs:
                del self._lanes[key]
        return entry

    def at(self, key: LaneKey, seq: int) -> list[bytes]:
        """Ids that wait at this place."""
        return list(self._lanes.get(key, {}).get(seq, ()))

    def least(self, author: bytes, lane: int) -> int:
        """The least seq that waits in a lane, 0 if nothing does."""
        return min(self._lanes.get((author, lane), ()), default=0)

    def of_author(self, author: bytes) -> list[bytes]:
        """Ids that wait of one author, lowest lane and seq first."""
        found: list[bytes] = []
        for lane in (0, 1):
            seqs = self._lanes.get((author, lane), {})
            for seq in sorted(seqs):
                found.extend(seqs[seq])
        return found

    def lanes(self) -> list[LaneKey]:
        """Lanes of which something waits, ascending."""
        return sorted(self._lanes)
