"""
Holding: what happens when an entry enters the required set, and when verdicts change.

This is the part of the replica that received, own and reloaded entries share. It keeps the table,
the ledger and the fold in step, parks what is stamped in the future, and says which Worknodes must
be folded again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from typing import Final

from attrs import define, field

from capability.data_body import Data
from capability.entry import KIND_DATA, LANE_AUTHORITY, LANE_DATA, Entry, Header
from capability.ledger import Change, Ledger
from capability.notary import data_of
from capability.verdict import Verdict
from crdt.hlc import Clock, milliseconds
from mesh.core.limits import EXPECTED_MAX, SKEW_MS_MAX
from mesh.core.ports import LogReader
from mesh.replica.fold import Fold, facts_of, touched_by
from mesh.replica.required import births_in
from mesh.replica.table import EntryTable
from mesh.worknode.statehash import StateHash
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
    #: This node's own key: what it wrote itself is never parked.
    author: bytes = b""
    #: How bodies are read (`capability.notary`).
    data_of: Callable[[Entry], Data | None] = data_of
    fold: Fold = field(init=False)
    #: Held but not committed: the reader does not have them yet.
    uncommitted: dict[int, Entry] = field(factory=dict)
    recent: dict[int, Entry] = field(factory=dict)
    touch_uncommitted: dict[bytes, list[int]] = field(factory=dict)
    #: Lanes whose frontier row may have moved since the last look.
    moved: set[LaneKey] = field(factory=set)
    #: Authors who were introduced since admission last looked.
    newcomers: list[bytes] = field(factory=list)
    #: Entries on a branch that a pin names, asked for: to be taken however full their lane is.
    expected: dict[bytes, None] = field(factory=dict)
    #: (stamp, number) of just what is parked, as a heap: peers may park as much as they like.
    _alarms: list[tuple[int, int]] = field(factory=list, repr=False)
    hash: StateHash = field(factory=StateHash)

    def __attrs_post_init__(self) -> None:
        self.fold = Fold(
            self.store, self.table, self.ledger, self.read, self.touching, self.data_of
        )

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
        found = self.reader.touching(node)
        last = found[-1] if found else 0
        # Between the end of a commit and `committed` both know of its entries. A commit takes all
        # that is uncommitted, so what the log does not have yet comes after all that it has.
        return found + [n for n in self.touch_uncommitted.get(node, ()) if n > last]

    def committed(self) -> None:
        """What was uncommitted is in the log now."""
        if self.uncommitted:
            for n, entry in self.uncommitted.items():
                self._remember(n, entry)
            self.uncommitted.clear()
            self.touch_uncommitted.clear()
        self.store.worknodes.cool()

    def expect(self, ids: Iterable[bytes]) -> None:
        """Take these entries whenever they come; beyond `EXPECTED_MAX` the oldest are forgotten."""
        for entry_id in ids:
            self.expected.pop(entry_id, None)
            self.expected[entry_id] = None
        while len(self.expected) > EXPECTED_MAX:
            del self.expected[next(iter(self.expected))]

    # -- holding --------------------------------------------------------------------------------

    def hold(self, entry: Entry, *, wall_ms: int) -> tuple[int, tuple[bytes, ...], Change]:
        """Take an entry into the required set: number, touched Worknodes, what it changed."""
        change = self.ledger.add(entry)
        self.moved.add((entry.header.author, entry.header.lane))
        n = self.table.append(entry.id, entry.header)
        data = self.data_of(entry)
        touched = touched_by(data)
        self.note_uncommitted(n, entry, touched)
        self.settle(n, entry, data, wall_ms=wall_ms)
        if change:
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
        if self.ledger.requires(header, entry.id):
            self.fold.learn_births(data)
        else:
            self.table.required[n] = 0
        verdict, reason = self.ledger.judge(header, entry.id)
        self.table.verdicts[n] = verdict
        if verdict is not Verdict.COUNTS:
            self.fold.refuse(str(reason))
        elif data is None and header.lane == LANE_DATA:
            self.fold.refuse("malformed body" if header.kind == KIND_DATA else "unknown kind")
        if not self.observe(n, header, wall_ms=wall_ms):
            return
        if data is not None and self.table.counts(n):
            self.fold.fold(facts_of(n, entry), data)

    def observe(self, n: int, header: Header, *, wall_ms: int) -> bool:
        """
        Take note of a stamp, or park the entry if it is too far ahead; whether it may be folded.

        Stamps ascend along a chain, so what follows a parked entry is parked by itself. Own entries
        are taken whatever the clock says now, since a stamp of one's own must never come again.
        """
        if milliseconds(header.hlc) <= wall_ms + SKEW_MS_MAX or header.author == self.author:
            self.clock.observe(header.hlc)
            return True
        if header.lane != LANE_DATA:
            return True
        self.table.parked.add(n)
        heappush(self._alarms, (header.hlc, n))
        return False

    # -- parking --------------------------------------------------------------------------------

    def wake_parked(self, wall_ms: int) -> int:
        """Fold what is no longer in the future; how many entries that were."""
        table = self.table
        due = []
        while self._alarms and milliseconds(self._alarms[0][0]) <= wall_ms + SKEW_MS_MAX:
            due.append(heappop(self._alarms)[1])
            table.parked.remove(due[-1])
        due.sort()
        for n in due:
            self.clock.observe(table.hlcs[n])
            entry = self.read(n)
            data = self.data_of(entry)
            if data is not None and table.counts(n):
                self.fold.fold(facts_of(n, entry), data)
        return len(due)

    def next_wake_ms(self) -> int | None:
        """The wall time at which something parked may be folded."""
        return milliseconds(self._alarms[0][0]) - SKEW_MS_MAX if self._alarms else None

    # -- verdicts -------------------------------------------------------------------------------

    def apply_change(self, change: Change | None) -> set[bytes]:
        """Judge anew what *change* bears on and fold again; the Worknodes that were touched."""
        if not change:
            return set()
        self.newcomers.extend(change.introduced)
        self.moved.update(change.lanes, change.forked, change.ended)
        for author in (*change.introduced, *change.dropped):
            self.moved.update(((author, LANE_AUTHORITY), (author, LANE_DATA)))
        nodes = self._judge_anew(self._suspects(change))
        gained, lost = self._cover_anew(change)
        nodes |= self.forget(lost)
        if nodes:
            self.fold.fold_again(nodes)
        for n in gained:
            self.fold.learn_births(self.data_of(self.read(n)))
        return nodes

    def _suspects(self, change: Change) -> set[int]:
        """The entries of which the verdict may be another one."""
        suspects: set[int] = set()
        for leaf in change.leaves:
            suspects.update(self.table.by_leaf.get(leaf, ()))
        for key in change.lanes:
            suspects.update(self._after_fork(*key))
        for key in change.ended:
            suspects.update(self._from(*key, 1))
        return suspects

    def _judge_anew(self, suspects: Iterable[int]) -> set[bytes]:
        """The Worknodes touched by what counts now and did not, or the reverse."""
        nodes: set[bytes] = set()
        for n in sorted(suspects):
            # By what the table has of it: most verdicts stay, and the log need not be read then.
            verdict = self.ledger.judge(self.table.header(n), self.table.ids[n])[0]
            before = self.table.verdicts[n]
            if verdict != before:
                self.table.verdicts[n] = verdict
                if Verdict.COUNTS in (verdict, before) and n not in self.table.parked:
                    nodes.update(touched_by(self.data_of(self.read(n))))
        return nodes

    def _cover_anew(self, change: Change) -> tuple[list[int], list[int]]:
        """Entries of data lanes that are required now and were not, and the reverse."""
        authors = (*change.introduced, *change.dropped)
        found = [n for author in authors for n in self._from(author, LANE_DATA, 1)]
        for key in change.ended:
            found += self._from(*key, 1)
        for author, lane in change.lanes:
            if lane == LANE_DATA:
                found += self._after_fork(author, lane)
        gained: list[int] = []
        lost: list[int] = []
        for n in sorted(set(found)):
            is_required = self.ledger.requires(self.table.header(n), self.table.ids[n])
            if is_required != self.table.required[n]:
                self.table.required[n] = is_required
                (gained if is_required else lost).append(n)
        return gained, lost

    def cover(self, n: int) -> set[bytes]:
        """Forget what an entry stated that was taken for a required one, if it is none."""
        if self.ledger.requires(self.table.header(n), self.table.ids[n]):
            return set()
        self.table.required[n] = 0
        return self.forget([n])

    def forget(self, lost: Iterable[int]) -> set[bytes]:
        """Forget the births that only these entries stated: the Worknodes to be folded again."""
        # One body after the other: a lane may be long, and takes 17 times its bytes when decoded.
        gone = {node for n in lost for node in self._born_in(n)}
        others = {n for node in gone for n in self.touching(node) if self.table.required[n]}
        for n in sorted(others):
            gone.difference_update(self._born_in(n))
        return self.fold.forget_births(gone) if gone else set()

    def _born_in(self, n: int) -> Iterator[bytes]:
        return (node for node, _ in births_in(self.data_of(self.read(n))))

    def _after_fork(self, author: bytes, lane: int) -> list[int]:
        held = self.ledger.lane(author, lane)
        if held is None or held.fork_seq is None:
            return []
        return self._from(author, lane, held.fork_seq)

    def _from(self, author: bytes, lane: int, seq: int) -> list[int]:
        held = self.ledger.lane(author, lane)
        if held is None:
            return []
        return [self.table.number[entry_id] for _, entry_id in held.held_from(seq)]
