"""
All connections of a node: accepts, dials, and carries out what the engine says about links.

Whatever fails before a link is open is a `DialFailed` (if this node dialled) and a log line that is
bounded in number. After `LinkOpened` there is exactly one `LinkClosed`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import trio
from attrs import define, field

from mesh.channel import Channel, ChannelError, OtherNode
from mesh.core.effects import Log
from mesh.core.inputs import Address, DialFailed, LinkClosed, LinkOpened
from mesh.core.limits import LINKS_MAX
from mesh.node.handshake import (
    HANDSHAKE_MESSAGE_S_MAX,
    Authenticated,
    ChannelKeys,
    shake_hands,
)
from mesh.node.link import CLOSE_S_MAX, Link, Put
from mesh.status import LINK_NAME_BYTES
from mesh.transport.pace import HandshakePace
from mesh.transport.tcp import (
    DialError,
    HandshakeGate,
    dial,
    peer_address,
    serve,
    text_of,
    tune,
)

#: Open links at once. Strangers can authenticate as some key too, and the engine needs a message
#: of theirs to know that they are no members; hence more than the members' bound.
OPEN_LINKS_MAX: Final = 2 * LINKS_MAX
#: Dials at once; the engine redials, so refusing one only delays it.
DIALS_MAX: Final = LINKS_MAX
#: Callers who find no room and are told so at once; more of them are cut off without a word, since
#: telling takes up to `CLOSE_S_MAX` and a file each. A guess.
REFUSALS_AT_ONCE_MAX: Final = 16


@define(eq=False)
class Links:
    """
    The table of links by number; numbers are never used again within a process.

    `is_paused` while the engine is rebuilt; `is_offline` for the whole run of a node that is to
    touch no network.
    """

    keys: ChannelKeys
    put: Put
    log: Callable[[Log], None]
    gate: HandshakeGate = field(factory=HandshakeGate)
    pace: HandshakePace = field(factory=lambda: HandshakePace(trio.current_time))
    is_paused: bool = False
    is_offline: bool = False
    #: Where this node may be dialled now: a host may move while it runs. None: as at the start.
    listening: Callable[[], tuple[Address, ...] | None] = lambda: None
    _numbers: Iterator[int] = field(factory=lambda: itertools.count(1))
    _next_number: int = 1
    _open: dict[int, Link] = field(factory=dict)
    _unborn: set[trio.CancelScope] = field(factory=set)
    _dials: int = 0
    _refusals: int = 0
    _emptied: trio.Event = field(factory=trio.Event)
    _nursery: trio.Nursery | None = None

    @property
    def open(self) -> dict[int, Link]:
        """Links that are up, by number."""
        return self._open

    @property
    def next_number(self) -> int:
        """Every link that is opened from now on has this number or a greater one."""
        return self._next_number

    async def run(
        self,
        listeners: Sequence[trio.SocketListener],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept and serve for ever; the listeners belong to this from now on."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            if listeners:
                await serve(listeners, self._accept, nursery)
            else:
                await trio.sleep_forever()

    def connect(self, address: Address, node: bytes | None) -> None:
        """Dial in the background; ends in `LinkOpened` or `DialFailed`."""
        assert self._nursery is not None, "links are not running"
        self._nursery.start_soon(self._dial, address, node)

    def send(self, number: int, data: bytes) -> bool:
        """Queue a message; False if there was no room, for which nobody waits on a gone link."""
        link = self._open.get(number)
        return link is None or link.send(data)

    def disconnect(self, number: int, reason: str) -> None:
        """Close a link with an authenticated reason; nothing if it is gone."""
        link = self._open.get(number)
        if link is not None:
            link.close(reason)

    def reset(self, reason: str) -> None:
        """Close all links and give up what is not one yet; new ones may be opened at once."""
        for scope in list(self._unborn):
            scope.cancel()
        for link in list(self._open.values()):
            link.close(reason)

    async def close_all(self, reason: str) -> None:
        """Close all links and wait for it, at most about `CLOSE_S_MAX`; none is opened after."""
        self.is_paused = True
        self.reset(reason)
        self._emptied = trio.Event()
        if self._open:
            with trio.move_on_after(CLOSE_S_MAX + 0.5):
                await self._emptied.wait()

    async def _accept(self, stream: trio.SocketStream) -> None:
        tune(stream)
        address = peer_address(stream)
        await self.serve_stream(stream, address)

    async def serve_stream(self, stream: trio.abc.Stream, address: Address) -> None:
        """Serve an accepted connection until it ends."""
        if not self.pace.admits(address[0]):
            self._warn("link.refused", address, "too many handshakes in so short a time")
            await trio.aclose_forcefully(stream)
            return
        channel = self.keys.channel(outbound=False)
        ready: Authenticated | None = None
        with self.gate.enter(address[0]) as scope:
            self._unborn.add(scope)
            try:
                if self.is_paused:
                    raise DialError("this node takes no links now")  # noqa: TRY301
                ready = await shake_hands(
                    stream,
                    channel,
                    self.keys,
                    expected=None,
                    message_s_max=HANDSHAKE_MESSAGE_S_MAX,
                )
            except (ChannelError, DialError, OSError, trio.BrokenResourceError) as error:
                self._warn("link.refused", address, str(error) or type(error).__name__)
            except Exception as error:  # noqa: BLE001 - a stranger's connection cannot end the node
                self._warn("link.failed", address, f"{type(error).__name__}: {error}")
            finally:
                self._unborn.discard(scope)
                if ready is None:
                    await trio.aclose_forcefully(stream)
        if ready is not None:
            await self._serve(stream, channel, ready, outbound=False, address=address)

    async def _dial(self, address: Address, node: bytes | None) -> None:
        with trio.CancelScope() as scope:
            self._unborn.add(scope)
            self._dials += 1
            try:
                opened = await self._try_dial(address, node)
            except (ChannelError, DialError, OSError, trio.BrokenResourceError) as error:
                reason, is_other = str(error) or type(error).__name__, isinstance(error, OtherNode)
                await self.put(DialFailed(address, reason, is_other))
                return
            except Exception as error:  # noqa: BLE001 - see `serve_stream`
                reason = f"{type(error).__name__}: {error}"
                self._warn("link.failed", address, reason)
                await self.put(DialFailed(address, reason))
                return
            finally:
                self._dials -= 1
                self._unborn.discard(scope)
        if not scope.cancelled_caught:
            stream, channel, ready = opened
            await self._serve(stream, channel, ready, outbound=True, address=address)

    async def _try_dial(
        self, address: Address, node: bytes | None
    ) -> tuple[trio.SocketStream, Channel, Authenticated]:
        if self.is_offline or self.is_paused or self._dials > DIALS_MAX:
            raise DialError("this node dials nobody now")
        stream = await dial(address)
        try:
            channel = self.keys.channel(outbound=True)
            return stream, channel, await shake_hands(stream, channel, self.keys, expected=node)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise

    async def _serve(
        self,
        stream: trio.abc.Stream,
        channel: Channel,
        ready: Authenticated,
        *,
        outbound: bool,
        address: Address,
    ) -> None:
        number = next(self._numbers)
        self._next_number = number + 1
        link = Link(number, ready.peer, stream, channel, self.put)
        if len(self._open) >= OPEN_LINKS_MAX:
            self._close_a_silent_one()
        if len(self._open) >= OPEN_LINKS_MAX or self.is_paused:
            self._warn("link.refused", address, f"{len(self._open)} links are open")
            await self._refuse(stream, link)
            return
        self._open[number] = link
        which: tuple[tuple[str, object], ...] = (
            ("link", ready.handshake_hash[:LINK_NAME_BYTES]),
            ("number", number),
            ("peer", ready.peer),
            ("outbound", outbound),
            ("address", text_of(address)),
        )
        self.log(Log("info", "link.opened", which))
        reason = "the node stopped"
        try:
            # For an accepted link the port is the caller's own and no place to call back.
            known = address if outbound else None
            where = self.listening()
            shown = ready.peer, outbound, known, ready.handshake_hash
            await self.put(LinkOpened(number, *shown, listen=where))
            reason = await link.run(ready.early)
        finally:
            del self._open[number]
            if not self._open:
                self._emptied.set()
            await trio.aclose_forcefully(stream)
        if link.dropped:
            reason = f"{reason} ({link.dropped} messages were dropped)"
        self.log(Log("info", "link.closed", (*which, ("reason", reason))))
        await self.put(LinkClosed(number, reason))

    async def _refuse(self, stream: trio.abc.Stream, link: Link) -> None:
        if self._refusals >= REFUSALS_AT_ONCE_MAX:
            await trio.aclose_forcefully(stream)
            return
        self._refusals += 1
        try:
            link.close("busy")
            await link.run(())
        finally:
            self._refusals -= 1

    def _close_a_silent_one(self) -> None:
        """Make room for the next caller: this one finds none, since closing takes a moment."""
        for link in self._open.values():
            if not link.has_spoken:
                link.close("room is needed")
                return

    def _warn(self, event: str, address: Address, reason: str) -> None:
        self.log(Log("warning", event, (("address", text_of(address)), ("reason", reason))))
