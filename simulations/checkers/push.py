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
from mesh.gossip.messages import Entries, Graft, Have, Message, Push, Rows
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
#: By link and lane, up to where its peer has it.
_Shown = dict[int, dict[_Lane, int]]
_SPEAKING: Final = frozenset(TAGS[kind] for kind in (Push, Entries, Have, Rows, Graft))


@define
class _Link:
    """What one host and its peer have told each other on one link."""

    peer: bytes
    is_blocked: bool = False
    #: Up to where the peer has shown a lane; only while that is more than the host holds.
    shown: dict[_Lane, int] = field(factory=dict)
    #: What is owed: up to where, and by when, in the host's monotonic ms.
    owed: dict[_Lane, tuple[int, int]] = field(factory=dict)
    #: The numbers that authors have in announcements, by whose they are: heard and said.
    heard: list[bytes] = field(factory=list)
    said: list[bytes] = field(factory=list)

    def pay(self, said: Iterable[_Said]) -> int:
        """The peer knows of these; how many debts are paid by it."""
        paid = 0
        for lane, seq in said if self.owed else ():
            debt = self.owed.get(lane)
            if debt is not None and debt[0] <= seq:
                del self.owed[lane]
                paid += 1
        return paid

    def owe(self, lane: _Lane, seq: int, due_ms: int) -> None:
        """Unless the peer has shown it; who owes already has no more time for it."""
        if seq > self.shown.get(lane, 0):
            self.owed[lane] = (seq, self.owed.get(lane, (0, due_ms))[1])


@define
class _Host:
    """The links of one host."""

    #: Those of which it knew the hello when the step began, and those on which it waits for it.
    ready: dict[int, _Link] = field(factory=dict)
    opened: dict[int, _Link] = field(factory=dict)

    def link(self, number: int) -> _Link | None:
        return self.ready.get(number) or self.opened.get(number)

    def forget(self, number: int) -> None:
        self.ready.pop(number, None)
        self.opened.pop(number, None)


@define(eq=False)
class Pushed(Checker):
    """Keeps account for each link of each honest host; of honest authors only, who never fork."""

    NAME: ClassVar[str] = "push"

    _hosts: dict[int, _Host] = field(factory=dict)
    _honest: set[bytes] = field(factory=set)

    def started(self, host: Host) -> None:
        self._hosts[host.number] = _Host()
        if host.is_honest:
            self._honest.add(host.signer.public)
        else:
            self._honest.discard(host.signer.public)

    def stepped(self, host: Host, inputs: Sequence[Input], effects: Sequence[Effect]) -> None:
        if not host.is_honest:
            return
        book, now_ms = self._hosts[host.number], host.now.mono_ms
        # By link, what was said on it in this step of what is held at its end.
        shown: _Shown = {}
        for item in inputs:
            if type(item) is Received:
                self._hear(host, book, item, now_ms, shown)
            elif type(item) is not Tick:
                _note(book, item, now_ms)
        told, places = self._take_note(host, book, effects, shown)
        for item in inputs:
            if type(item) is LinkClosed:
                # Not before: what was said on it in this step was said.
                book.forget(item.link)
        if any(type(item) is Tick for item in inputs):
            self._judge(host, book, told, now_ms)
        if places:
            _borrow(book, places, shown, now_ms + HAVE_DELAY_MS)
        if book.opened:
            _look_for_hellos(host, book)

    def _take_note(
        self, host: Host, book: _Host, effects: Sequence[Effect], shown: _Shown
    ) -> tuple[dict[_Lane, int], list[_Said]]:
        """Of each lane, on how many links it is announced; and what is newly held."""
        told: dict[_Lane, int] = {}
        places: list[_Said] = []
        for effect in effects:
            if type(effect) is Send:
                self._tell(book, effect, told, shown)
            elif type(effect) is Persist:
                places += self._held(host, effect)
            elif type(effect) is Disconnect:
                book.forget(effect.link)
        return told, places

    def _hear(self, host: Host, book: _Host, item: Received, now_ms: int, shown: _Shown) -> None:
        link = book.link(item.link)
        message = self._read(item.data) if link is not None else None
        if link is None or message is None:
            return
        row = host.running.replica.port.row
        if type(message) is Graft:
            for missed in message.missed if item.link in book.ready else ():
                lane = (missed.author, missed.lane)
                link.shown.pop(lane, None)
                if missed.author in self._honest and row(*lane).seq > missed.after:
                    # What is newer than the question is owed anyway.
                    link.owe(lane, row(*lane).seq, now_ms + HAVE_DELAY_MS)
            return
        said = list(self._said(message, link.heard))
        self.checks += link.pay(said)
        _show(shown, item.link, said)
        for lane, seq in said:
            if lane[0] in self._honest and seq > row(*lane).seq:
                link.shown[lane] = max(seq, link.shown.get(lane, 0))

    def _tell(self, book: _Host, effect: Send, told: dict[_Lane, int], shown: _Shown) -> None:
        """Take note of what leaves; of each lane, on how many links it is announced."""
        link = book.link(effect.link)
        message = self._read(effect.data) if link is not None else None
        if link is not None and message is not None:
            said = list(self._said(message, link.said))
            if type(message) is Have:
                for lane, _ in said:
                    told[lane] = told.get(lane, 0) + 1
            self.checks += link.pay(said)
            _show(shown, effect.link, said)

    def _judge(self, host: Host, book: _Host, told: dict[_Lane, int], now_ms: int) -> None:
        spread = {lane for lane, count in told.items() if count >= HAVE_LINKS_MAX}
        for number, link in book.ready.items():
            if link.is_blocked or not link.owed:
                continue
            for lane in spread & link.owed.keys():
                del link.owed[lane]
            for (author, lane_number), (seq, due_ms) in link.owed.items():
                if due_ms <= now_ms:
                    name = f"{author.hex()[:8]}/{lane_number}/{seq}"
                    self.object(host, f"entry {name} was neither pushed nor told on link {number}")

    def _held(self, host: Host, effect: Persist) -> Iterator[_Said]:
        for record in effect.records:
            if type(record) is not PutEntry:
                continue
            header = record.entry.header
            # What a home writes that may not write yet leaves later, if at all.
            is_kept_back = record.own and host.running.replica.writer.blocked
            if header.author in self._honest and not is_kept_back:
                yield (header.author, header.lane), header.seq

    def _said(self, message: Message | Unknown, numbers: list[bytes]) -> Iterator[_Said]:
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
            # Numbers whose message was lost are nobody's.
            numbers += [b""] * (message.first - len(numbers))
            numbers[message.first : message.first + len(message.authors)] = message.authors
            for item in message.held:
                if item.number < len(numbers) and (author := numbers[item.number]):
                    yield (author, item.lane), item.seq
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


def _note(book: _Host, item: Input, now_ms: int) -> None:
    if isinstance(item, LinkOpened):
        book.opened[item.link] = _Link(item.peer)
    elif isinstance(item, OutboxFull | OutboxDrained) and (link := book.link(item.link)):
        link.is_blocked = isinstance(item, OutboxFull)
        if not link.is_blocked:
            due_ms = now_ms + HAVE_DELAY_MS
            link.owed = {lane: (seq, due_ms) for lane, (seq, _) in link.owed.items()}


def _show(shown: _Shown, link: int, said: Iterable[_Said]) -> None:
    now_shown = shown.setdefault(link, {})
    for lane, seq in said:
        now_shown[lane] = max(seq, now_shown.get(lane, 0))


def _borrow(book: _Host, places: Sequence[_Said], shown: _Shown, due_ms: int) -> None:
    """What the step has brought is owed on each link that was ready before it."""
    for number, link in book.ready.items():
        now_shown = shown.get(number, {})
        for lane, seq in places:
            if lane[0] != link.peer and seq > now_shown.get(lane, 0):
                link.owe(lane, seq, due_ms)
            if link.shown.get(lane, seq + 1) <= seq:
                del link.shown[lane]


def _look_for_hellos(host: Host, book: _Host) -> None:
    links = host.running.links
    for number in list(book.opened):
        state = links.get(number)
        if state is not None and state.hello is not None:
            book.ready[number] = book.opened.pop(number)
