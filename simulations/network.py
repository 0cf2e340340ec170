"""
Connections between hosts: dials, delivery in order, silence, resets.

What a node's links do around its engine is done here: a dial that nobody answers fails after a
time-out; a silent peer is given up after `SILENCE_MS_MAX`; a full send buffer refuses; a process
that dies resets its connections, a machine that dies just falls silent.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from attrs import define, field

from mesh.core.inputs import (
    Address,
    DialFailed,
    LinkClosed,
    LinkOpened,
    Measured,
    OutboxDrained,
    OutboxFull,
    Received,
)
from mesh.core.limits import HEARTBEAT_MS, SILENCE_MS_MAX
from simulations.pipe import RTO_US, End
from simulations.weather import Weather

if TYPE_CHECKING:
    from simulations.host import Host
    from simulations.world import World

#: How long a dial waits for an answer, in µs. Source: `mesh.transport.tcp.DIAL_S_MAX`.
DIAL_US_MAX: Final = 3_000_000
#: One-way trips before both sides have a channel: TCP's hand-shake and Noise XX.
DIAL_TRIPS: Final = 5
#: A link on which no message came for this long is closed, in µs. Source:
#: `mesh.node.link.FIRST_MESSAGE_S_MAX`.
FIRST_MESSAGE_US_MAX: Final = 15_000_000
RESET: Final = "connection reset"


@define(eq=False)
class Network:
    """All links of the world. Counts what it carries, per kind and per host."""

    world: World
    weather: Weather = field(factory=Weather)
    messages: int = 0
    octets: int = 0
    #: What was sent by each host: messages, bytes.
    sent: list[list[int]] = field(factory=list)
    #: Per host: its open ends by link number.
    _ends: list[dict[int, End]] = field(factory=list)
    _opened: int = 0

    def add_host(self) -> None:
        """Make room for one more."""
        self._ends.append({})
        self.sent.append([0, 0])

    def links(self, host: Host) -> list[End]:
        """A host's open ends, by number."""
        ends = self._ends[host.number]
        return [ends[link] for link in sorted(ends)]

    # -- dials ----------------------------------------------------------------------------------

    def dial(self, host: Host, address: Address, node: bytes | None) -> None:
        """`Connect`: a link opens at both ends, or the dial fails."""
        target = self.world.by_name.get(address[0])
        args = (host, host.incarnation, address)
        if target is None:
            self.world.after(self._delay(host, host), self._failed, *args, "no such host")
            return
        if not self._both_ways(host, target) or (not target.is_up and target.is_silent):
            self.world.after(DIAL_US_MAX, self._failed, *args, "no answer")
            return
        delay = sum(self._delay(host, target) for _ in range(DIAL_TRIPS))
        self.world.after(delay, self._answer, *args, node)

    def _answer(self, host: Host, incarnation: int, address: Address, node: bytes | None) -> None:
        target = self.world.by_name[address[0]]
        if incarnation != host.incarnation:
            return
        if not self._both_ways(host, target) or target.is_paused:
            self.world.after(DIAL_US_MAX, self._failed, host, incarnation, address, "no answer")
        elif not target.is_up:
            self._failed(host, incarnation, address, "connection refused")
        elif node is not None and node != target.signer.public:
            self._failed(host, incarnation, address, "another node answers there", is_other=True)
        else:
            self._open(host, target)

    def _failed(
        self, host: Host, incarnation: int, address: Address, why: str, *, is_other: bool = False
    ) -> None:
        if incarnation == host.incarnation:
            host.put(DialFailed(address, why, is_other))

    def _open(self, host: Host, target: Host) -> None:
        self._opened += 2
        out = End(host.number, host.incarnation, self._opened)
        into = End(target.number, target.incarnation, self._opened + 1)
        out.far, into.far = into, out
        self._ends[host.number][out.link] = out
        self._ends[target.number][into.link] = into
        shared = hashlib.blake2b(b"%d" % self._opened, digest_size=32).digest()
        opened = LinkOpened(out.link, target.signer.public, True, target.address, shared)
        accepted = LinkOpened(into.link, host.signer.public, False, None, shared)
        rtt_ms = (self._delay(host, target) + self._delay(target, host)) / 1000
        for end in (out, into):
            self.world.after(FIRST_MESSAGE_US_MAX, self._expect_words, end)
        # Both are told before either says anything, as both have the channel.
        target.inbox.append(accepted)
        host.inbox.append(opened)
        target.put(Measured(into.link, rtt_ms))
        host.put(Measured(out.link, rtt_ms))

    def _expect_words(self, end: End) -> None:
        if not end.is_closed and not end.has_heard_words:
            self._close(end, "no message came")
            self._close_later(end.peer, RESET)

    # -- messages -------------------------------------------------------------------------------

    def send(self, host: Host, link: int, data: bytes) -> None:
        """`Send`: the message goes on its way, or the sender hears that its buffer is full."""
        end = self._ends[host.number].get(link)
        if end is None or end.is_closed:
            return
        size = len(data)
        if not end.takes(size):
            if not end.was_refused:
                end.was_refused = True
                self.world.after(0, self._tell, end, OutboxFull(link))
            return
        self.messages += 1
        self.octets += size
        counts = self.sent[host.number]
        counts[0] += 1
        counts[1] += size
        self.world.watch.sent(host, end, data)
        weather = self.weather
        if end.waiting or weather.bandwidth is not None or not self._has_path(end):
            end.put(data)
            if not end.is_leaving:
                self._pump(end)
            return
        self._carry(end, data)

    def _has_path(self, end: End) -> bool:
        return self.weather.reaches(end.host, end.peer.host)

    def _pump(self, end: End) -> None:
        """Give to the wire what waits, as fast as it takes it, while there is a path."""
        while end.waiting and self._has_path(end):
            bandwidth = self.weather.bandwidth
            if bandwidth is not None:
                self.weather.befell("bandwidth")
                end.is_leaving = True
                leaves_us = int(len(end.waiting[0]) * 1_000_000 / bandwidth)
                self.world.after(leaves_us, self._left, end, end.turn)
                return
            self._carry(end, end.take())
        if end.has_drained and not end.is_closed:
            end.was_refused = False
            self._tell(end, OutboxDrained(end.link))

    def _left(self, end: End, turn: int) -> None:
        if turn != end.turn or end.is_closed:
            return
        end.is_leaving = False
        self._carry(end, end.take())
        self._pump(end)

    def _carry(self, end: End, data: bytes) -> None:
        """One whole message is on the wire, and arrives, or whatever the weather does with it."""
        world, weather = self.world, self.weather
        source, target = world.hosts[end.host], world.hosts[end.peer.host]
        random = world.random
        if end.doom is not None and not self._survives(end):
            return
        if weather.drop and random.random() < weather.drop:
            weather.befell("drop")
            return
        arrives = world.now_us + self._delay(source, target)
        if weather.flip and random.random() < weather.flip:
            weather.befell("flip")
            end.doom = -1
            broken = max(arrives, end.arrives_us)
            world.at(broken, self._break, end.peer, "the channel's seal is broken")
            return
        if weather.reorder and random.random() < weather.reorder:
            # It is overtaken by what comes after it.
            weather.befell("reorder")
            world.at(arrives + self._delay(source, target), self._deliver, end, data)
            return
        end.arrives_us = arrives = max(arrives, end.arrives_us)
        world.at(arrives, self._deliver, end, data)
        if weather.duplicate and random.random() < weather.duplicate:
            weather.befell("duplicate")
            world.at(arrives, self._deliver, end, data)

    def _survives(self, end: End) -> bool:
        """One message less before the connection is reset; the one that it hits is cut short."""
        assert end.doom is not None
        end.doom -= 1
        if end.doom == -1:
            self.weather.befell("truncate")
            source, target = self.world.hosts[end.host], self.world.hosts[end.peer.host]
            self.world.after(self._delay(source, target), self._break, end.peer, RESET)
        return end.doom >= 0

    def _deliver(self, end: End, data: bytes) -> None:
        far = end.peer
        if not far.is_closed:
            far.has_heard_words = True
            self.world.hosts[far.host].put(Received(far.link, data))

    def _break(self, end: End, reason: str) -> None:
        """The receiver finds that what came is not what was sent, or not all of it."""
        if not end.is_closed:
            self._close(end, reason)
            self._close_later(end.peer, RESET)

    def reset(self, end: End) -> None:
        """Somebody between the two ends the connection, and tells both."""
        self._break(end, RESET)

    def spare(self) -> None:
        """No connection is cut short any more, but those of which the last piece is under way."""
        for ends in self._ends:
            for end in ends.values():
                if end.doom is not None and end.doom >= 0:
                    end.doom = None

    def half_open(self, end: End) -> None:
        """Only *end* hears that the connection is gone; the other side believes that it is up."""
        peer = end.peer
        self._close(end, RESET)
        self._watch_silence(peer)

    def _tell(self, end: End, item: OutboxFull | OutboxDrained) -> None:
        if not end.is_closed:
            self.world.hosts[end.host].put(item)

    # -- endings --------------------------------------------------------------------------------

    def disconnect(self, host: Host, link: int, reason: str) -> None:
        """`Disconnect`: closed here at once, there when the last message has arrived."""
        end = self._ends[host.number].get(link)
        if end is None or end.is_closed:
            return
        self._close(end, reason)
        self._close_later(end.peer, reason, after_us=end.arrives_us)

    def unplug(self, host: Host, *, is_silent: bool) -> None:
        """The process is gone: peers hear a reset, or nothing at all."""
        for end in self.links(host):
            self._forget(end)
            if is_silent:
                self._watch_silence(end.peer)
            else:
                self._close_later(end.peer, RESET)

    def _close_later(self, end: End, reason: str, after_us: int = 0) -> None:
        if end.is_closed:
            return
        source, target = self.world.hosts[end.peer.host], self.world.hosts[end.host]
        if not self.weather.reaches(source.number, target.number):
            self._watch_silence(end)
            return
        due = max(self.world.now_us + self._delay(source, target), after_us)
        self.world.at(due, self._close, end, reason)

    def _close(self, end: End, reason: str) -> None:
        if not end.is_closed:
            self._forget(end)
            host = self.world.hosts[end.host]
            if host.incarnation == end.incarnation:
                host.put(LinkClosed(end.link, reason))

    def _forget(self, end: End) -> None:
        end.is_closed = True
        end.waiting.clear()
        self._ends[end.host].pop(end.link, None)

    # -- silence --------------------------------------------------------------------------------

    def paths_changed(self) -> None:
        """Directions were cut or mended: what stalls, what flows again, who falls silent."""
        for host in self.world.hosts:
            for end in self.links(host):
                if self._is_heard(end):
                    end.heard += 1
                    self._flow(end.peer)
                else:
                    self._watch_silence(end)

    def rates_changed(self) -> None:
        """The wire is faster or slower: what waits for it leaves at the new rate."""
        for host in self.world.hosts:
            for end in self.links(host):
                if end.waiting:
                    end.turn += 1
                    end.is_leaving = False
                    self._pump(end)

    def look_at_silence(self, host: Host) -> None:
        """A host stopped answering: its peers will give it up."""
        for end in self.links(host):
            self._watch_silence(end.peer)

    def flow_again(self, host: Host) -> None:
        """It answers again, and notices who has fallen silent meanwhile."""
        for end in self.links(host):
            if self._is_heard(end.peer):
                end.peer.heard += 1
            if not self._is_heard(end):
                self._watch_silence(end)

    def _is_heard(self, end: End) -> bool:
        """Whether *end* hears its peer now."""
        if end.peer.is_closed:
            return False
        peer = self.world.hosts[end.peer.host]
        return not peer.is_paused and self.weather.reaches(peer.number, end.host)

    def _watch_silence(self, end: End) -> None:
        """Give the peer up if it is still silent when the heart-beat's patience is over."""
        if end.is_closed:
            return
        patience_ms = SILENCE_MS_MAX + self.world.random.random() * HEARTBEAT_MS
        self.world.after(int(patience_ms * 1000), self._give_up, end, end.heard)

    def _give_up(self, end: End, heard: int) -> None:
        host = self.world.hosts[end.host]
        if end.is_closed or end.heard != heard or host.is_paused:
            return
        self._close(end, "silent")
        self._close_later(end.peer, RESET)

    def _flow(self, end: End) -> None:
        """What stalled in *end*'s buffer goes out; TCP notices when it next tries."""
        end.turn += 1
        end.is_leaving = False
        if end.waiting:
            end.arrives_us = max(end.arrives_us, self.world.now_us + RTO_US)
        self._pump(end)

    # -- distances ------------------------------------------------------------------------------

    def _both_ways(self, one: Host, two: Host) -> bool:
        weather = self.weather
        return weather.reaches(one.number, two.number) and weather.reaches(two.number, one.number)

    def _delay(self, source: Host, target: Host) -> int:
        return self.weather.delay_us(
            (source.number, source.region), (target.number, target.region), self.world.random
        )
