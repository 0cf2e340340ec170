"""
Durability order: what follows a `Persist` is seen by nobody before its records are on disk.

An own entry leaves on no link before it is committed, and the mark that it may have left (`sent`)
with it; subscribers are told of no event that the disk does not have; no value is answered for an
entry or a LOCAL row that is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final, cast

from attrs import define, field

from capability.entry import LANE_DATA
from crdt.codec import decode
from mesh.core.limits import MESSAGE_BYTES_MAX
from mesh.core.records import PutEntry, PutMeta, Record
from mesh.gossip.messages import Entries, Push
from mesh.replica.writer import Submitted
from mesh.wire import TAGS
from simulations.checkers.checker import Checker
from simulations.identity import tag_of

if TYPE_CHECKING:
    from mesh.core.effects import Reply
    from mesh.core.events import Event
    from simulations.host import Host
    from simulations.pipe import End

#: Messages in which entries leave.
_CARRIERS: Final = frozenset({TAGS[Push], TAGS[Entries]})


@define
class _Durable:
    """How far a host's own two lanes are on disk, and how far they are marked as sent."""

    heads: list[int] = field(factory=lambda: [0, 0])
    sent: tuple[int, int] = (0, 0)
    cursor: int = 0


@define(eq=False)
class Durability(Checker):
    """Looks at all that leaves a host."""

    NAME: ClassVar[str] = "durability"

    _hosts: dict[int, _Durable] = field(factory=dict)

    def started(self, host: Host) -> None:
        durable = self._hosts[host.number] = _Durable()
        store = host.disk.store
        for stored in store.entries():
            header = stored.entry.header
            if header.author == host.signer.public:
                durable.heads[header.lane] = max(durable.heads[header.lane], header.seq)
        durable.sent = _heads(store.meta("sent"))
        durable.cursor = store.last_cursor()

    def recorded(self, host: Host, records: Sequence[Record]) -> None:
        durable = self._hosts[host.number]
        for record in records:
            if type(record) is PutEntry:
                header = record.entry.header
                if header.author == host.signer.public:
                    durable.heads[header.lane] = header.seq
            elif type(record) is PutMeta and record.key == "sent":
                durable.sent = _heads(record.value)
        durable.cursor = host.disk.store.last_cursor()

    def sent(self, host: Host, end: End, data: bytes) -> None:
        if not host.is_honest or tag_of(data) not in _CARRIERS:
            return
        reading = self.world.reading
        message = reading.message(data, size_max=MESSAGE_BYTES_MAX)
        assert isinstance(message, Push | Entries), "its tag says so"
        durable, own = self._hosts[host.number], host.signer.public
        for encoded in message.entries:
            header = reading.entry(encoded).header
            if header.author == own:
                there = header.seq <= durable.heads[header.lane]
                self.demand(host, f"own entry {header.seq} leaves before it is on disk", that=there)
                marked = header.seq <= durable.sent[header.lane]
                self.demand(
                    host, f"own entry {header.seq} leaves without a mark on disk", that=marked
                )

    def emitted(self, host: Host, events: Sequence[Event]) -> None:
        if events and host.is_honest:
            there = events[-1].cursor <= self._hosts[host.number].cursor
            self.demand(host, f"event {events[-1].cursor} is told before it is on disk", that=there)

    def answered(self, host: Host, reply: Reply) -> None:
        done = reply.value
        if reply.error is None and isinstance(done, Submitted) and done.entry and host.is_honest:
            found = host.disk.store.entries_by_id((done.entry,))
            there = len(found) == 1 and found[0].entry.header.lane == LANE_DATA
            self.demand(
                host, f"request {reply.request} is answered before it is on disk", that=there
            )


def _heads(value: bytes | None) -> tuple[int, int]:
    if value is None:
        return 0, 0
    return cast("tuple[int, int]", decode(value, size_max=len(value)))
