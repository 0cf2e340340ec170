"""
Push: what a host newly holds each of its neighbours is pushed or told, unless it has shown it.

Repair mends whatever the push forgets, some time later, so that no comparison at rest can show
that a link was forgotten. Here the engine is held to it step by step, by what goes in and comes
out: at the tick at which announcements are due nothing is owed on any link any more. An entry that
comes to be held is owed on each link that was ready before; a push, an announcement or an answer of
repair that speaks of it, on either side, pays for it. A full send buffer, or `HAVE_LINKS_MAX` that
were told already, excuses; so does the pen of a home that recovers. A graft is a debt, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from attrs import define, field

from capability.errors import FormError
from mesh.core.effects import Disconnect, Persist, Send
from mesh.core.errors import ProtocolViolation
from mesh.core.inputs import LinkClosed, LinkOpened, OutboxDrained, OutboxFull, Received, Tick
from mesh.core.limits import MESSAGE_BYTES_MAX
from mesh.core.records import PutEntry
from mesh.gossip.limits import HAVE_DELAY_MS, HAVE_LINKS_MAX
from mesh.gossip.messages import Entries, Graft, Have, Hello, Message, Push, Rows
from mesh.wire import TAGS, Unknown
from simulations.checkers.checker import Checker
from simulations.identity import tag_of

if TYPE_CHECKING:
    from mesh.core.effects import Effect
    from mesh.core.inputs import Input
    from simulations.host import Host

_Lane = tuple[bytes, int]
#: (author, lane), and up to which seq.
_Said = tuple[_Lane, int]
_HELLO: Final = TAGS[Hello]
_SPEAKING: Final = frozenset(TAGS[kind] for kind in (Push, Entries, Have, Rows, Graft))


@define
class _Link:
    """What one host and its peer have told each other on one link."""

    #: Both have said hello, and it was so when the step began.
    is_ready: bool = False
    is_blocked: bool = False
    #: Up to where the peer has a lane, or was told of it.
    known: dict[_Lane, int] = field(factory=dict)
    #: What is owed: up to where, and by when, in the host's monotonic ms.
    owed: dict[_Lane, tuple[int, int]] = field(factory=dict)
    #: The numbers that authors have in announcements, by whose they are: heard and said.
    heard: dict[int, bytes] = field(factory=dict)
    said: dict[int, bytes] = field(factory=dict)

    def learn(self, said: Iterable[_Said]) -> int:
        """The peer knows of these; how many debts are paid by it."""
        paid = 0
        for lane, seq in said:
            if seq > self.known.get(lane, 0):
                self.known[lane] = seq
            debt = self.owed.get(lane)
            if debt is not None and debt[0] <= seq:
                del self.owed[lane]
                paid += 1
        return paid

    def owe(self, lane: _Lane, seq: int, due_ms: int) -> None:
        """Unless the peer knows; who owes already has no more time for it."""
        if seq > self.known.get(lane, 0):
            self.owed[lane] = (seq, self.owed.get(lane, (0, due_ms))[1])


@define(eq=False)
class Pushed(Checker):
    """Keeps account for each link of each honest host; of honest authors only, who never fork."""

    NAME: ClassVar[str] = "push"

    _hosts: dict[int, dict[int, _Link]] = field(factory=dict)
    _honest: set[bytes] = field(factory=set)

    def started(self, host: Host) -> None:
        self._hosts[host.number] = {}
        if host.is_honest:
            self._honest.add(host.signer.public)
        else:
            self._honest.discard(host.signer.public)

    def stepped(self, host: Host, inputs: Sequence[Input], effects: Sequence[Effect]) -> None:
        if not host.is_honest:
            return
        links, now_ms = self._hosts[host.number], host.now.mono_ms
        is_tick = may_be_ready = False
        for item in inputs:
            if type(item) is Received:
                self._hear(host, item, now_ms)
                may_be_ready = may_be_ready or tag_of(item.data) == _HELLO
            elif type(item) is Tick:
                is_tick = True
            else:
                _note(links, item, now_ms)
        told = self._tell(host, effects)
        if is_tick:
            self._judge(host, told, now_ms)
        self._borrow(host, effects, now_ms)
        if may_be_ready:
            # Only a hello makes a link ready, and only its end makes it anything else.
            for number, link in links.items():
                state = host.running.links.get(number)
                link.is_ready = state is not None and state.hello is not None

    def _hear(self, host: Host, item: Received, now_ms: int) -> None:
        link = self._hosts[host.number].get(item.link)
        message = self._read(item.data) if link is not None else None
        if link is None or message is None:
            return
        if type(message) is Graft:
            port = host.running.replica.port
            for missed in message.missed if link.is_ready else ():
                lane = (missed.author, missed.lane)
                link.known[lane] = missed.after
                if missed.author in self._honest:
                    # What is newer than the question is owed anyway.
                    link.owe(lane, port.row(*lane).seq, now_ms + HAVE_DELAY_MS)
        else:
            self.checks += link.learn(self._said(message, link.heard))

    def _tell(self, host: Host, effects: Sequence[Effect]) -> dict[_Lane, int]:
        """Take note of what leaves; of each lane, on how many links it is announced."""
        links = self._hosts[host.number]
        announced: dict[_Lane, int] = {}
        for effect in effects:
            if type(effect) is Send:
                link = links.get(effect.link)
                message = self._read(effect.data) if link is not None else None
                if link is not None and message is not None:
                    said = list(self._said(message, link.said))
                    if type(message) is Have:
                        for lane, _ in said:
                            announced[lane] = announced.get(lane, 0) + 1
                    self.checks += link.learn(said)
            elif type(effect) is Disconnect:
                links.pop(effect.link, None)
        return announced

    def _judge(self, host: Host, announced: dict[_Lane, int], now_ms: int) -> None:
        spread = {lane for lane, count in announced.items() if count >= HAVE_LINKS_MAX}
        for number, link in self._hosts[host.number].items():
            if link.is_blocked or not link.owed:
                continue
            for lane in spread & link.owed.keys():
                del link.owed[lane]
            for (author, lane_number), (seq, due_ms) in link.owed.items():
                if due_ms <= now_ms:
                    name = f"{author.hex()[:8]}/{lane_number}/{seq}"
                    self.object(host, f"entry {name} was neither pushed nor told on link {number}")

    def _borrow(self, host: Host, effects: Sequence[Effect], now_ms: int) -> None:
        """What the step has brought is owed on each link that was ready before it."""
        engine, links = host.running, self._hosts[host.number]
        due_ms = now_ms + HAVE_DELAY_MS
        for author, lane, seq in self._held(host, effects):
            for number, link in links.items():
                state = engine.links.get(number)
                if link.is_ready and state is not None and state.peer != author:
                    link.owe((author, lane), seq, due_ms)

    def _held(self, host: Host, effects: Sequence[Effect]) -> Iterator[tuple[bytes, int, int]]:
        is_stopped = bool(host.running.replica.writer.blocked)
        for effect in effects:
            if type(effect) is Persist:
                for record in effect.records:
                    if type(record) is PutEntry and not (record.own and is_stopped):
                        header = record.entry.header
                        if header.author in self._honest:
                            yield header.author, header.lane, header.seq

    def _said(self, message: Message | Unknown, numbers: dict[int, bytes]) -> Iterator[_Said]:
        """Of which entries a message speaks."""
        if isinstance(message, Push | Entries):
            for data in message.entries:
                try:
                    header = self.world.reading.entry(data).header
                except FormError:
                    # What stood before it is taken all the same.
                    return
                yield (header.author, header.lane), header.seq
        elif type(message) is Have:
            numbers.update(enumerate(message.authors, message.first))
            for item in message.held:
                if item.number in numbers:
                    yield (numbers[item.number], item.lane), item.seq
        elif type(message) is Rows:
            for row in message.rows:
                yield (row.author, row.lane), row.seq

    def _read(self, data: bytes) -> Message | Unknown | None:
        """A message that speaks of entries; None for others, and for none, as a liar may send."""
        if tag_of(data) not in _SPEAKING:
            return None
        try:
            return self.world.reading.message(data, size_max=MESSAGE_BYTES_MAX)
        except ProtocolViolation:
            return None


def _note(links: dict[int, _Link], item: Input, now_ms: int) -> None:
    match item:
        case LinkOpened(link=number):
            links[number] = _Link()
        case LinkClosed(link=number):
            links.pop(number, None)
        case OutboxFull(link=number) if number in links:
            links[number].is_blocked = True
        case OutboxDrained(link=number) if number in links:
            link = links[number]
            link.is_blocked = False
            link.owed = {
                lane: (seq, now_ms + HAVE_DELAY_MS) for lane, (seq, _) in link.owed.items()
            }
