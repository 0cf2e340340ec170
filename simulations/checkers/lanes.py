"""
Logs as they lie on disks: causal order per author, no fork of an honest log, stamps in bounds.

An entry comes to a disk when the one before it in its lane is there. That is checked as records are
committed, and for the whole disk whenever a host starts from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from attrs import define, field

from capability.entry import Entry, Header
from capability.ids import ZERO_ID
from crdt.hlc import milliseconds
from mesh.core.limits import SKEW_MS_MAX
from mesh.core.records import PutEntry, PutMeta, PutPending, Record
from mesh.replica.pending import decode_row
from mesh.replica.recovery import META_RECOVER
from mesh.replica.writer import Submitted
from simulations.checkers.checker import Checker

if TYPE_CHECKING:
    from mesh.core.effects import Effect, Reply
    from mesh.core.events import Event
    from mesh.core.inputs import Input
    from simulations.host import Host

LaneKey = tuple[bytes, int]


@define
class _Disk:
    """What is known to be on one host's disk. What it is known by all hosts share: it is much."""

    places: dict[bytes, Header] = field(factory=dict)
    #: The last id of each lane.
    tips: dict[LaneKey, bytes] = field(factory=dict)
    #: (author, stamp) of each entry.
    stamps: set[tuple[bytes, int]] = field(factory=set)


@define(eq=False)
class Order(Checker):
    """
    Nobody holds entry k + 1 of a lane, or tells of it, without entry k; stamps ascend.

    They ascend within a lane: the first entry names the mesh, and a founder's clock may be ahead.
    """

    NAME: ClassVar[str] = "causal order"

    _disks: dict[int, _Disk] = field(factory=dict)
    #: Keys of honest hosts, each of which has one log without branches.
    _honest: set[bytes] = field(factory=set)
    #: Lanes and stamps, each once.
    _shared: dict[tuple[bytes, int], tuple[bytes, int]] = field(factory=dict)

    def started(self, host: Host) -> None:
        if host.is_honest:
            self._honest.add(host.signer.public)
        else:
            # Also one whose key began to run twice.
            self._honest.discard(host.signer.public)
        self._disks[host.number] = _Disk()
        for stored in host.disk.store.entries():
            self._take(host, stored.entry)

    def recorded(self, host: Host, records: Sequence[Record]) -> None:
        if host.is_honest:
            for record in records:
                if type(record) is PutEntry:
                    self._take(host, record.entry)

    def _take(self, host: Host, entry: Entry) -> None:
        disk, header = self._disks[host.number], entry.header
        key, share = (header.author, header.lane), self._shared.setdefault
        before = disk.places.get(header.prev)
        if header.seq == 1:
            mesh_id = host.running.replica.mesh_id
            follows = header.prev == (ZERO_ID if entry.id == mesh_id else mesh_id)
        else:
            follows = before is not None and before.seq == header.seq - 1
        if follows and header.author in self._honest and header.seq > 1:
            follows = disk.tips.get(key) == header.prev
        self.checks += 1
        if not follows:
            self.object(host, f"{_name(entry)} is on disk and what it follows is not")
        if before is not None and header.seq > 1 and header.hlc <= before.hlc:
            self.object(host, f"{_name(entry)} is stamped before the entry that it follows")
        disk.places[entry.id] = header
        disk.tips[share(key, key)] = entry.id
        stamp = (header.author, header.hlc)
        disk.stamps.add(share(stamp, stamp))

    def emitted(self, host: Host, events: Sequence[Event]) -> None:
        if not host.is_honest:
            return
        stamps = self._disks[host.number].stamps
        for event in events:
            self.checks += 1
            if (event.actor, event.hlc) not in stamps:
                self.object(host, f"an event {event.type} of an entry that is not on disk")


@define(eq=False)
class NoFork(Checker):
    """An honest author has one entry at each place of its log, on whosever disk it lies."""

    NAME: ClassVar[str] = "no fork"

    _at: dict[tuple[bytes, int, int], bytes] = field(factory=dict)
    _honest: dict[bytes, int] = field(factory=dict)
    #: Hosts that run on an older copy. What they wrote and never sent may stand anew otherwise.
    _copies: set[int] = field(factory=set)

    def started(self, host: Host) -> None:
        if host.is_honest:
            self._honest[host.signer.public] = host.number
        else:
            self._honest.pop(host.signer.public, None)

    def set_back(self, host: Host, *, is_less: bool = True) -> None:
        self._copies.add(host.number)
        author, held = host.signer.public, set()
        for other in self.world.hosts:
            held |= {stored.entry.id for stored in other.disk.store.entries()}
        lost = [at for at, found in self._at.items() if at[0] == author and found not in held]
        for at in lost:
            del self._at[at]

    def recorded(self, host: Host, records: Sequence[Record]) -> None:
        for record in records:
            if type(record) is not PutEntry:
                continue
            header = record.entry.header
            author = self._honest.get(header.author)
            if author is None:
                continue
            place = (header.author, header.lane, header.seq)
            if author == host.number and author in self._copies:
                # It has told nobody of this entry; if it does, the others' disks will show it.
                continue
            self.checks += 1
            if self._at.setdefault(place, record.entry.id) != record.entry.id:
                self.object(host, f"{_name(record.entry)} stands where another one stood")


@define(eq=False)
class Stamps(Checker):
    """
    A host's stamps ascend, also over restarts, and stay within the skew of an honest wall clock.

    Those of entries ascend and those of LOCAL rows do; after a start both are later than all that
    were before it. (A row may be stamped while a group is open whose stamp is earlier.)
    A stamp exceeds the host's own wall clock only by what it has observed, and what it observes
    lies at most `SKEW_MS_MAX` ahead of it; ticks within a millisecond may carry into the next.
    """

    NAME: ClassVar[str] = "stamps"

    _wall_ms: int = 0
    #: The last stamps of entries and of LOCAL rows, by host.
    _entries: dict[int, int] = field(factory=dict)
    _rows: dict[int, int] = field(factory=dict)
    #: The last stamp of either when the host last started.
    _floors: dict[int, int] = field(factory=dict)

    def started(self, host: Host) -> None:
        lasts = (self._entries, self._rows, self._floors)
        self._floors[host.number] = max(last.get(host.number, -1) for last in lasts)

    def stepped(self, host: Host, inputs: Sequence[Input], effects: Sequence[Effect]) -> None:
        if host.is_honest:
            self._wall_ms = max(self._wall_ms, host.now.wall_ms)

    def set_back(self, host: Host, *, is_less: bool = True) -> None:
        # What it had stamped since the copy was made it cannot know.
        for last in (self._entries, self._rows, self._floors):
            last.pop(host.number, None)

    def recorded(self, host: Host, records: Sequence[Record]) -> None:
        if not host.is_honest:
            return
        if any(type(record) is PutMeta and record.key == META_RECOVER for record in records):
            # What was set aside has had its stamps since it was made, and comes lane by lane.
            own = [one.entry.header.hlc for one in records if type(one) is PutEntry and one.own]
            self._entries.pop(host.number, None)
            for hlc in sorted(own):
                self._stamped(host, hlc, self._entries)
            return
        for record in records:
            if type(record) is PutEntry and record.own:
                self._stamped(host, record.entry.header.hlc, self._entries)
            elif type(record) is PutPending:
                self._stamped(host, decode_row(record.data).hlc, self._rows)

    def answered(self, host: Host, reply: Reply) -> None:
        done = reply.value
        if isinstance(done, Submitted) and not done.entry and not done.created:
            self._not_ahead(host, done.hlc)

    def _stamped(self, host: Host, hlc: int, last: dict[int, int]) -> None:
        before = max(last.get(host.number, -1), self._floors.get(host.number, -1))
        self.demand(host, f"stamp {hlc} after {before}", that=hlc > before)
        last[host.number] = hlc
        self._not_ahead(host, hlc)

    def _not_ahead(self, host: Host, hlc: int) -> None:
        ahead_ms = milliseconds(hlc) - self._wall_ms
        near = ahead_ms <= SKEW_MS_MAX + 1 or not host.is_honest
        self.demand(host, f"stamp {hlc} is {ahead_ms} ms ahead of every honest clock", that=near)


def _name(entry: Entry) -> str:
    header = entry.header
    return f"entry {header.author.hex()[:8]}/{header.lane}/{header.seq}"
