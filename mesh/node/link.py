"""
One connection after its handshake: a reader, a writer and a heart-beat around one channel.

Nothing that happens here leaves it except as inputs: bad bytes, a dead socket or a mistake of ours
end this link with a reason, and touch no other. The heart beats here and not in the engine, so
that a slow disk does not make peers believe that this node is gone.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias, assert_never

import trio
from attrs import define, field

from mesh.channel import (
    CLOSE_REASON_BYTES_MAX,
    Channel,
    ChannelError,
    ChannelEvent,
    Closed,
    HandshakeDone,
    Message,
    Pong,
)
from mesh.core.errors import LocalError
from mesh.core.inputs import Input, Measured, OutboxDrained, Received
from mesh.core.limits import HEARTBEAT_MS, MESSAGE_BYTES_MAX, OUTBOX_BYTES_MAX, SILENCE_MS_MAX

#: A peer that takes nothing for this long is closed. Guess: longer than a slow disk's worst
#: pause, shorter than a person's patience; its heart-beats alone do not excuse it.
STALL_S_MAX: Final = 10.0
#: From the wish to close until the socket is gone.
CLOSE_S_MAX: Final = 2.0
#: A peer that has authenticated as some key, but sends no message, is closed after this. Guess:
#: longer than an honest engine is ever busy, since a hello is the first thing it sends.
FIRST_MESSAGE_S_MAX: Final = 15.0
#: Bytes given to the socket at once; a ping waits behind at most one message and these.
WRITE_BYTES: Final = 64 * 1024
READ_BYTES: Final = 64 * 1024
#: Pings whose answer is awaited; older ones are forgotten.
PINGS_MAX: Final = 8
#: A reason that is shown or logged; a peer's words may be in it.
REASON_CHARACTERS_MAX: Final = 160

Put: TypeAlias = Callable[[Input], Awaitable[None]]

_HEARTBEAT_S: Final = HEARTBEAT_MS / 1000
_SILENCE_S: Final = SILENCE_MS_MAX / 1000


@define(eq=False)
class Link:
    """
    An authenticated connection, until it ends.

    Attributes:
        dropped: Messages that were not sent because the outbox was full.
        rtt_ms: The last measured round trip, None before the first.
        has_spoken: Whether a message has come; keys are free, so an open link alone means little.
    """

    number: int
    peer: bytes
    _stream: trio.abc.Stream
    _channel: Channel = field(repr=False)
    _put: Put = field(repr=False)
    dropped: int = 0
    rtt_ms: float | None = None
    has_spoken: bool = False
    _outbox: deque[bytes] = field(factory=deque, repr=False)
    _outbox_bytes: int = 0
    _overfull: bool = False
    _wake: trio.Event = field(factory=trio.Event, repr=False)
    _drained: trio.Event = field(factory=trio.Event, repr=False)
    _ping_wanted: bool = False
    _pings_sent: int = 0
    _pings: dict[bytes, float] = field(factory=dict, repr=False)
    _heard_s: float = 0.0
    _waits_for_engine: bool = False
    _closing: str | None = None
    _close_queued: bool = False
    _reason: str | None = None
    _nursery: trio.Nursery | None = field(default=None, repr=False)

    @property
    def outbox_bytes(self) -> int:
        """Bytes that wait to be sealed and written."""
        return self._outbox_bytes

    def send(self, data: bytes) -> bool:
        """
        Queue one message.

        Returns:
            False if it was dropped, because the link is closing or its outbox full.

        Raises:
            LocalError: It is over `MESSAGE_BYTES_MAX`: a mistake of the engine.
        """
        if len(data) > MESSAGE_BYTES_MAX:
            raise LocalError(f"message of {len(data)} bytes, limit {MESSAGE_BYTES_MAX}")
        if self._closing is not None:
            return False
        if self._outbox_bytes + len(data) > OUTBOX_BYTES_MAX:
            self._overfull = True
            self.dropped += 1
            return False
        self._outbox.append(data)
        self._outbox_bytes += len(data)
        self._wake.set()
        return True

    def close(self, reason: str) -> None:
        """Send what waits and an authenticated end, within `CLOSE_S_MAX`; `run` returns then."""
        if self._closing is None:
            self._closing = reason
            self._wake.set()
            if self._nursery is not None:
                # It may be ending at this moment, and then takes no more tasks.
                with contextlib.suppress(RuntimeError):
                    self._nursery.start_soon(self._end_later)

    async def run(self, early: Sequence[ChannelEvent]) -> str:
        """
        Serve the connection until it ends.

        Returns:
            Why it ended: the words of whoever ended it, cut to a length that can be shown.
        """
        self._heard_s = trio.current_time()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                if self._closing is not None:
                    nursery.start_soon(self._end_later)
                nursery.start_soon(self._guarded, self._beat)
                nursery.start_soon(self._guarded, self._tell_drained)
                nursery.start_soon(self._guarded, self._write)
                await self._guarded(lambda: self._read(early))
        finally:
            self._nursery = None
            self._outbox.clear()
            await trio.aclose_forcefully(self._stream)
        return self._closing or self._reason or "ended"

    async def _guarded(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except ChannelError as error:
            self._end(str(error))
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            self._end(f"connection lost: {error.__cause__ or error}")
        except Exception as error:  # noqa: BLE001 - one link's trouble, even our own, stays in it
            self._end(f"internal error: {type(error).__name__}: {error}")

    def _end(self, reason: str) -> None:
        if self._reason is None:
            printable = "".join(c if c.isprintable() else "?" for c in reason)
            self._reason = printable[:REASON_CHARACTERS_MAX]
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    async def _end_later(self) -> None:
        await trio.sleep(CLOSE_S_MAX)
        self._end("closed")

    async def _read(self, early: Sequence[ChannelEvent]) -> None:
        await self._deliver(early)
        while self._reason is None:
            data = await self._stream.receive_some(READ_BYTES)
            self._heard_s = trio.current_time()
            if not data:
                self._channel.end_of_stream()
                self._end("closed")
                return
            try:
                events: Sequence[ChannelEvent] = self._channel.receive(bytes(data))
            except ChannelError as error:
                # How the stream was cut into chunks must not decide what is delivered.
                await self._deliver(error.events)
                raise
            # It may hold pongs now, and they are not counted in its output.
            self._wake.set()
            await self._deliver(events)

    async def _deliver(self, events: Sequence[ChannelEvent]) -> None:
        for event in events:
            match event:
                case Message(data):
                    self.has_spoken = True
                    await self._put_waiting(Received(self.number, data))
                case Pong(token):
                    await self._on_pong(token)
                case Closed(reason):
                    self._end(f"closed by the peer: {reason}")
                case HandshakeDone():
                    raise AssertionError("a second handshake on one channel")
                case _:
                    assert_never(event)

    async def _put_waiting(self, item: Input) -> None:
        # While the engine is busy nothing is read here, so hearing nothing is our own doing.
        self._waits_for_engine = True
        try:
            await self._put(item)
        finally:
            self._waits_for_engine = False
            self._heard_s = trio.current_time()

    async def _on_pong(self, token: bytes) -> None:
        sent_s = self._pings.pop(token, None)
        if sent_s is not None:
            self.rtt_ms = (trio.current_time() - sent_s) * 1000
            await self._put_waiting(Measured(self.number, self.rtt_ms))

    async def _write(self) -> None:
        while True:
            self._wake = trio.Event()
            output = self._fill()
            if output:
                await self._write_all(output)
            elif self._close_queued:
                # The peer answers by closing, which the reader sees; `_end_later` is the limit.
                return
            else:
                await self._wake.wait()

    def _fill(self) -> bytes:
        # Sealed only now, so that a ping or a pong does not stand behind a full outbox.
        if self._ping_wanted and self._channel.can_send:
            self._ping_wanted = False
            self._pings_sent += 1
            token = self._pings_sent.to_bytes(8, "big")
            self._pings[token] = trio.current_time()
            if len(self._pings) > PINGS_MAX:
                del self._pings[next(iter(self._pings))]
            self._channel.ping(token)
        # When the peer has closed it, what it said before may still wait for the engine.
        while self._outbox and self._channel.can_send and self._channel.output_bytes < WRITE_BYTES:
            data = self._outbox.popleft()
            self._outbox_bytes -= len(data)
            self._channel.send(data)
        if self._overfull and self._outbox_bytes < OUTBOX_BYTES_MAX // 2:
            self._overfull = False
            self._drained.set()
        if self._closing is not None and not self._outbox and not self._close_queued:
            self._close_queued = True
            self._channel.close(_cut(self._closing))
        return self._channel.take_output()

    async def _write_all(self, output: bytes) -> None:
        view = memoryview(output)
        for start in range(0, len(view), WRITE_BYTES):
            with trio.move_on_after(STALL_S_MAX) as scope:
                await self._stream.send_all(view[start : start + WRITE_BYTES])
            if scope.cancelled_caught:
                self._end(f"the peer read nothing for {STALL_S_MAX:g} s")
                return

    async def _tell_drained(self) -> None:
        # A task of its own: waiting for the engine here must not hold up the writer.
        while True:
            await self._drained.wait()
            self._drained = trio.Event()
            await self._put(OutboxDrained(self.number))

    async def _beat(self) -> None:
        beat_s = trio.current_time()
        speak_s = beat_s + FIRST_MESSAGE_S_MAX
        while True:
            now_s = trio.current_time()
            if now_s >= beat_s:
                self._ping_wanted = True
                self._wake.set()
                beat_s = now_s + _HEARTBEAT_S
            wanted_s = min(beat_s, max(self._heard_s + _SILENCE_S, now_s))
            await trio.sleep_until(wanted_s)
            now_s = trio.current_time()
            if now_s - wanted_s > _HEARTBEAT_S:
                # This process itself was stopped; what the peer sent may wait in the socket.
                self._heard_s = now_s
            if not self._waits_for_engine and now_s - self._heard_s >= _SILENCE_S:
                self._end(f"silent for {_SILENCE_S:g} s")
                return
            if not self.has_spoken and now_s >= speak_s:
                self._end(f"no message within {FIRST_MESSAGE_S_MAX:g} s")
                return
            if self._waits_for_engine:
                self._heard_s = now_s


def _cut(reason: str) -> str:
    return reason.encode(errors="replace")[:CLOSE_REASON_BYTES_MAX].decode(errors="ignore")
