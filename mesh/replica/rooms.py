"""
Where entries wait that cannot be held yet: deferred behind a gap, or of an unknown author.

Both rooms are bounded in entries and bytes and hold only entries whose signature was verified.
What no longer fits is dropped from the share of the author who takes up the most, its oldest
first: so whoever has little waiting loses nothing to a flood, by whatever link it comes. What is
dropped is asked for again by repair, so nothing is lost. Rooms never push back, since that would
hold up the very repair that empties them.
"""

from __future__ import annotations

from heapq import heappop, heappush

from attrs import define, field

from capability.entry import Entry

LaneKey = tuple[bytes, int]


@define
class Room:
    """Entries by id in order of arrival, with an index by lane and the share of each author."""

    entries_max: int
    bytes_max: int
    entries: dict[bytes, Entry] = field(factory=dict)
    size: int = 0
    evicted: int = 0
    _lanes: dict[LaneKey, dict[int, dict[bytes, None]]] = field(factory=dict)
    #: Of each author, ids in order of arrival and what each is charged: its bytes, at least as many
    #: as there are for each of `entries_max`.
    _shares: dict[bytes, dict[bytes, int]] = field(factory=dict)
    _charged: dict[bytes, int] = field(factory=dict)
    #: (charge, author), the greatest first; those that are out of date are skipped.
    _greatest: list[tuple[int, bytes]] = field(factory=list)

    def __len__(self) -> int:
        return len(self.entries)

    def put(self, entry: Entry) -> bool:
        """Let an entry wait; whether it was news. May evict. Cost: O(log entries)."""
        if entry.id in self.entries:
            return False
        author = entry.header.author
        self.entries[entry.id] = entry
        self.size += len(entry.body)
        seqs = self._lanes.setdefault((author, entry.header.lane), {})
        seqs.setdefault(entry.header.seq, {})[entry.id] = None
        charge = max(len(entry.body), self.bytes_max // self.entries_max)
        self._shares.setdefault(author, {})[entry.id] = charge
        self._charge(author, charge)
        while len(self.entries) > self.entries_max or self.size > self.bytes_max:
            self.take(next(iter(self._shares[self._greediest()])))
            self.evicted += 1
        return True

    def _charge(self, author: bytes, charge: int) -> None:
        total = self._charged.pop(author, 0) + charge
        if total:
            self._charged[author] = total
            heappush(self._greatest, (-total, author))

    def _greediest(self) -> bytes:
        """Whose entries take up the most; of equals the one with the least key."""
        if len(self._greatest) > 4 * len(self.entries) + 4:
            self._greatest = sorted((-total, author) for author, total in self._charged.items())
        while self._charged.get(self._greatest[0][1]) != -self._greatest[0][0]:
            heappop(self._greatest)
        return self._greatest[0][1]

    def take(self, entry_id: bytes) -> Entry:
        """Remove and return one entry."""
        entry = self.entries.pop(entry_id)
        self.size -= len(entry.body)
        author = entry.header.author
        share = self._shares[author]
        self._charge(author, -share.pop(entry_id))
        if not share:
            del self._shares[author]
        key = (author, entry.header.lane)
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
