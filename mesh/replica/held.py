"""
Holding: what happens when an entry enters the required set, and when verdicts change.

This is the part of the replica that received, own and reloaded entries share. It keeps the table,
the ledger and the fold in step, parks what is stamped in the future, and says which Worknodes must
be folded again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import define, field

from capability.data_body import Data
from capability.entry import LANE_DATA, Entry
from capability.ledger import Change, Ledger
from capability.verdict import Verdict
from crdt.hlc import Clock
from mesh.core.limits import SKEW_MS_MAX
from mesh.core.ports import LogReader
from mesh.replica.fold import Fold, data_of, facts_of, touched_by
from mesh.replica.table import EntryTable
from mesh.worknode.store import Store

LaneKey = tuple[bytes, int]

#: Entries that are kept decoded because they are not committed or were read lately.
_RECENT_MAX: Final = 2_048


@define
class Held:
    """Everything that is held, judged and folded."""

    ledger: Ledger
    table: EntryTable
    store: Store
    clock: Clock
    reader: LogReader
    fold: Fold = field(init=False)
    #: Held but not committed: the reader does not have them yet.
    uncommitted: dict[int, Entry] = field(factory=dict)
    recent: dict[int, Entry] = field(factory=dict)
    #: Local numbers of the parked tail of each data lane, ascending.
    parked: dict[LaneKey, list[int]] = field(factory=dict)
    touch_uncommitted: dict[bytes, list[int]] = field(factory=dict)
    #: Lanes whose frontier row may have moved since the last look.
    moved: set[LaneKey] = field(factory=set)

    def __attrs_post_init__(self) -> None:
        self.fold = Fold(self.store, self.table, self.ledger, self.read, self.touching)

    # -- reading --------------------------------------------------------------------------------

    def read(self, n: int) -> Entry:
        """The entry under a local number, from memory or the log."""
        entry = self.uncommitted.get(n) or self.recent.get(n)
        if entry is None:
            entry = self.reader.entry(n)
            assert entry is not None, f"entry {n} is in the table but not in the log"
            self._remember(n, entry)
        return entry

    def _remember(self, n: int, entry: Entry) -> None:
        if len(self.recent) >= _RECENT_MAX:
            self.recent.pop(next(iter(self.recent)))
        self.recent[n] = entry

    def touching(self, node: bytes) -> list[int]:
        """Numbers of the held entries that touch *node*, ascending."""
        return self.reader.touching(node) + self.touch_uncommitted.get(node, [])

    def committed(self) -> None:
        """What was uncommitted is in the log now."""
        for n, entry in self.uncommitted.items():
            self._remember(n, entry)
        self.uncommitted.clear()
        self.touch_uncommitted.clear()

    # -- holding --------------------------------------------------------------------------------

    def hold(self, entry: Entry, *, wall_ms: int) -> tuple[int, tuple[bytes, ...], Change]:
        """Take an entry into the required set: number, touched Worknodes, what it changed."""
        change = self.ledger.add(entry)
        self.moved.add((entry.header.author, entry.header.lane))
        n = self.table.append(entry.id, entry.header)
        data = data_of(entry)
        touched = touched_by(data)
        self.note_uncommitted(n, entry, touched)
        self.settle(n, entry, data, wall_ms=wall_ms)
        self.apply_change(change)
        return n, touched, change

    def note_uncommitted(self, n: int, entry: Entry, touched: Iterable[bytes]) -> None:
        """Until the commit, *n* is read from memory."""
        self.uncommitted[n] = entry
        for node in touched:
            self.touch_uncommitted.setdefault(node, []).append(n)

    def settle(self, n: int, entry: Entry, data: Data | None, *, wall_ms: int) -> None:
        """Learn births, park or judge and fold one entry that the ledger has taken."""
        header = entry.header
        self.fold.learn_births(data)
        key = (header.author, header.lane)
        ahead = header.hlc >> 16 > wall_ms + SKEW_MS_MAX
        self.table.verdicts[n] = self.ledger.judge(header, entry.id)[0]
        if header.lane == LANE_DATA and (ahead or key in self.parked):
            self.parked.setdefault(key, []).append(n)
            self.table.parked.add(n)
            return
        if not ahead:
            self.clock.observe(header.hlc)
        if data is not None and self.table.counts(n):
            self.fold.fold(facts_of(n, entry), data)

    # -- parking --------------------------------------------------------------------------------

    def wake_parked(self, wall_ms: int) -> int:
        """Fold what is no longer in the future; how many entries that were."""
        woken = 0
        for key in sorted(self.parked):
            tail = self.parked.pop(key)
            while tail and self.table.hlcs[tail[0]] >> 16 <= wall_ms + SKEW_MS_MAX:
                n = tail.pop(0)
                self.table.parked.discard(n)
                self.clock.observe(self.table.hlcs[n])
                entry = self.read(n)
                data = data_of(entry)
                if data is not None and self.table.counts(n):
                    self.fold.fold(facts_of(n, entry), data)
                woken += 1
            if tail:
                self.parked[key] = tail
        return woken

    def next_wake_ms(self) -> int | None:
        """The wall time at which something parked may be folded."""
        heads = [self.table.hlcs[tail[0]] >> 16 for tail in self.parked.values()]
        return min(heads) - SKEW_MS_MAX if heads else None

    # -- verdicts -------------------------------------------------------------------------------

    def apply_change(self, change: Change | None) -> set[bytes]:
        """Judge anew what *change* bears on and fold again; the Worknodes that were touched."""
        if not change:
            return set()
        self.moved.update(change.lanes, change.forked)
        suspects: set[int] = set()
        for leaf in change.leaves:
            suspects.update(self.table.by_leaf.get(leaf, ()))
        for author, lane in change.lanes:
            suspects.update(self._after_fork(author, lane))
        nodes: set[bytes] = set()
        for n in sorted(suspects):
            entry = self.read(n)
            verdict = self.ledger.judge(entry.header, entry.id)[0]
            before = self.table.verdicts[n]
            if verdict != before:
                self.table.verdicts[n] = verdict
                if Verdict.COUNTS in (verdict, before) and n not in self.table.parked:
                    nodes.update(touched_by(data_of(entry)))
        if nodes:
            self.fold.fold_again(nodes)
        return nodes

    def _after_fork(self, author: bytes, lane: int) -> list[int]:
        held = self.ledger.lane(author, lane)
        if held is None or held.fork_seq is None:
            return []
        return [self.table.number[entry_id] for _, entry_id in held.held_from(held.fork_seq)]
