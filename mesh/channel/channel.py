"""
The secure channel of one connection, as a machine: bytes in, events and bytes out.

It does no I/O, has no clock and draws no keys. The driver hands over what the socket read, acts on
the events, and writes what `take_output` returns; time limits are the driver's.

States: handshake → open → closed, and from anywhere → failed, from which there is no way back.
Bounds: input holds less than one frame and one partial message; output holds `OUTPUT_BYTES_MAX`,
plus what the channel adds by itself (one close frame, `PONGS_WAITING_MAX` pongs, and 1.2 KiB of
handshake). Before the peer is authenticated, frames of other than the expected size are refused by
their length alone, before they are buffered.
"""

from collections import deque
from enum import Enum
from typing import Final, Self, assert_never

from attrs import define, field

from mesh.channel.errors import (
    ChannelError,
    ChannelUnusable,
    FrameError,
    HandshakeFailed,
    MessageTooLarge,
    NoiseError,
    OutputFull,
)
from mesh.channel.events import ChannelEvent, Closed, HandshakeDone, Message, Pong
from mesh.channel.frames import (
    CLOSE_REASON_BYTES_MAX,
    FRAME_BYTES_MAX,
    FRAME_BYTES_MIN,
    MESSAGE_BYTES_MAX,
    PING_TOKEN_BYTES,
    REKEY_FRAMES,
    Flag,
    FrameBuffer,
    FrameOpener,
    FrameSealer,
    MessageAssembler,
    chunks,
    frame,
    framed_bytes,
)
from mesh.channel.noise import KEY_BYTES, TAG_BYTES, HandshakeState

# What each side may send inside the handshake: room for an identity, none for a flood.
PAYLOAD_BYTES_MAX: Final = 512
# Guess: a few of the largest messages.
OUTPUT_BYTES_MAX: Final = 4 << 20
# Guess. Answering only the newest pings is what RFC 6455, section 5.5.3, allows WebSockets to do.
PONGS_WAITING_MAX: Final = 16

_SEALED_KEY_BYTES: Final = KEY_BYTES + TAG_BYTES
_HANDSHAKE_BYTES_MIN: Final = (
    KEY_BYTES,
    KEY_BYTES + _SEALED_KEY_BYTES + TAG_BYTES,
    _SEALED_KEY_BYTES + TAG_BYTES,
)
_HANDSHAKE_BYTES_MAX: Final = (
    KEY_BYTES,
    _HANDSHAKE_BYTES_MIN[1] + PAYLOAD_BYTES_MAX,
    _HANDSHAKE_BYTES_MIN[2] + PAYLOAD_BYTES_MAX,
)


class _Phase(Enum):
    HANDSHAKE = "in its handshake"
    OPEN = "open"
    CLOSING = "closed by this side"
    CLOSED = "closed by the peer"
    FAILED = "dead after an error"


@define(eq=False)
class Channel:
    """One side of a connection; make it with `initiator` or `responder`."""

    _handshake: HandshakeState | None = field(repr=False)
    _payload: bytes = field(repr=False)
    _rekey_frames: int
    _phase: _Phase = _Phase.HANDSHAKE
    _sealer: FrameSealer | None = field(default=None, repr=False)
    _opener: FrameOpener | None = field(default=None, repr=False)
    _input: FrameBuffer = field(factory=FrameBuffer, repr=False)
    _assembler: MessageAssembler = field(factory=MessageAssembler, repr=False)
    _output: list[bytes] = field(factory=list, repr=False)
    _output_bytes: int = 0
    _pongs: deque[bytes] = field(factory=lambda: deque(maxlen=PONGS_WAITING_MAX), repr=False)

    @classmethod
    def initiator(
        cls,
        *,
        prologue: bytes,
        static_key: bytes,
        ephemeral_key: bytes,
        payload: bytes,
        rekey_frames: int = REKEY_FRAMES,
    ) -> Self:
        """
        The side that dialled; its first message is ready to be taken.

        Args:
            prologue: What both sides must agree on; see `prologue` in `mesh.channel.identity`.
            static_key: X25519 private key, 32 bytes, fresh for each process.
            ephemeral_key: X25519 private key, 32 bytes, never used for a second connection.
            payload: Sent to the peer inside the handshake, encrypted; ≤ `PAYLOAD_BYTES_MAX`.
            rekey_frames: For tests. It is part of the protocol, and both sides must have the same.
        """
        handshake = HandshakeState.start(
            is_initiator=True,
            prologue=prologue,
            static_key=static_key,
            ephemeral_key=ephemeral_key,
        )
        return cls._start(handshake, payload, rekey_frames)

    @classmethod
    def responder(
        cls,
        *,
        prologue: bytes,
        static_key: bytes,
        ephemeral_key: bytes,
        payload: bytes,
        rekey_frames: int = REKEY_FRAMES,
    ) -> Self:
        """The side that accepted; arguments as for `initiator`."""
        handshake = HandshakeState.start(
            is_initiator=False,
            prologue=prologue,
            static_key=static_key,
            ephemeral_key=ephemeral_key,
        )
        return cls._start(handshake, payload, rekey_frames)

    @classmethod
    def _start(cls, handshake: HandshakeState, payload: bytes, rekey_frames: int) -> Self:
        assert len(payload) <= PAYLOAD_BYTES_MAX, f"payload of {len(payload)} bytes"
        assert rekey_frames > 0
        channel = cls(handshake, payload, rekey_frames)
        if handshake.my_turn:
            channel._queue(frame(handshake.write_message(b"")))
        return channel

    @property
    def can_send(self) -> bool:
        """Whether `send`, `ping` and `close` are allowed now."""
        return self._phase is _Phase.OPEN

    @property
    def output_bytes(self) -> int:
        """What waits for `take_output`, pongs aside; for back-pressure."""
        return self._output_bytes

    def receive(self, data: bytes) -> list[ChannelEvent]:
        """
        Take bytes from the stream, cut anywhere.

        Returns:
            What they completed, in order. After `Closed`, whatever comes is ignored; take the
            output once more, for it ends with the answer, and drop the connection.

        Raises:
            HandshakeFailed: Before the handshake was done.
            FrameError: After it.
            ChannelUnusable: The channel failed earlier.
        """
        self._refuse_if_failed()
        if self._phase is _Phase.CLOSED:
            return []
        events: list[ChannelEvent] = []
        self._input.push(data)
        try:
            while (content := self._next_frame()) is not None:
                event = self._on_frame(content)
                if event is not None:
                    events.append(event)
        except ChannelError as error:
            self._fail()
            error.events = tuple(events)
            raise
        return events

    def end_of_stream(self) -> None:
        """
        The stream has ended; is that what the peer wanted?

        Returns normally only if the peer's close had arrived. A driver that called `close` itself
        and does not care for what the peer still had to say may ignore the error.

        Raises:
            HandshakeFailed: It ended within the handshake.
            FrameError: It ended without an authenticated close: cut off by somebody, or a crash.
            ChannelUnusable: The channel failed earlier.
        """
        self._refuse_if_failed()
        if self._phase is _Phase.CLOSED:
            return
        in_handshake = self._handshake is not None
        self._fail()
        if in_handshake:
            raise HandshakeFailed("the stream ended within the handshake")
        raise FrameError("the stream was truncated: it ended without the peer's close")

    def send(self, message: bytes) -> None:
        """
        Queue one message, whole.

        Raises:
            ChannelUnusable: The channel is not open.
            MessageTooLarge: Over `MESSAGE_BYTES_MAX`.
            OutputFull: Over `OUTPUT_BYTES_MAX` together with what waits already.
        """
        if len(message) > MESSAGE_BYTES_MAX:
            raise MessageTooLarge(f"message of {len(message)} bytes, limit {MESSAGE_BYTES_MAX}")
        sealer = self._open_sealer(len(message))
        for flag, chunk in chunks(message):
            self._queue(sealer.seal(flag, chunk))

    def ping(self, token: bytes) -> None:
        """
        Queue a ping; the peer echoes *token*, of `PING_TOKEN_BYTES`, in a `Pong`.

        Raises:
            ChannelUnusable: The channel is not open.
            OutputFull: The peer does not read; then a ping would say nothing new.
        """
        assert len(token) == PING_TOKEN_BYTES, f"ping token of {len(token)} bytes"
        self._queue(self._open_sealer(len(token)).seal(Flag.PING, token))

    def close(self, reason: str) -> None:
        """
        Queue an authenticated end after all that waits; nothing can be sent after it.

        Messages of the peer still arrive, until `Closed` with its answer, which a channel gives by
        itself. Does nothing if either side has closed the channel.

        Raises:
            ChannelUnusable: The handshake is not done, or the channel failed; drop the connection.
            MessageTooLarge: The reason is over `CLOSE_REASON_BYTES_MAX` in UTF-8.
        """
        # A reason is for people; an odd surrogate in it must not keep a channel from closing.
        text = reason.encode("utf-8", errors="replace")
        if len(text) > CLOSE_REASON_BYTES_MAX:
            raise MessageTooLarge(
                f"close reason of {len(text)} bytes, limit {CLOSE_REASON_BYTES_MAX}"
            )
        if self._phase in (_Phase.CLOSING, _Phase.CLOSED):
            return
        sealer = self._require_open()
        self._queue_pongs()
        self._queue(sealer.seal(Flag.CLOSE, text))
        self._phase = _Phase.CLOSING

    def take_output(self) -> bytes:
        """
        The bytes to write to the stream, all that wait; empty if none do.

        Raises:
            ChannelUnusable: The channel failed; nothing more may be sent.
        """
        self._refuse_if_failed()
        self._queue_pongs()
        output = b"".join(self._output)
        self._output.clear()
        self._output_bytes = 0
        return output

    def _next_frame(self) -> bytes | None:
        length = self._input.length()
        if length is None:
            return None
        if self._handshake is not None:
            step = self._handshake.step
            low, high = _HANDSHAKE_BYTES_MIN[step], _HANDSHAKE_BYTES_MAX[step]
            if not low <= length <= high:
                raise HandshakeFailed(
                    f"handshake message {step + 1} of {length} bytes, expected {low} to {high}"
                )
        elif not FRAME_BYTES_MIN <= length <= FRAME_BYTES_MAX:
            raise FrameError(f"frame of {length} bytes, expected at least {FRAME_BYTES_MIN}")
        return self._input.pop()

    def _on_frame(self, content: bytes) -> ChannelEvent | None:
        if self._handshake is not None:
            return self._on_handshake(self._handshake, content)
        assert self._opener is not None
        return self._on_transport(*self._opener.open(content))

    def _on_handshake(self, handshake: HandshakeState, content: bytes) -> HandshakeDone | None:
        step = handshake.step
        try:
            payload = handshake.read_message(content)
            if step < 2:
                self._queue(frame(handshake.write_message(self._payload)))
        except NoiseError as error:
            # The answer to our first message is the first that depends on the mesh.
            hint = "the peer is of another mesh or no node at all; " if step == 1 else ""
            raise HandshakeFailed(f"{hint}handshake message {step + 1} refused: {error}") from error
        if step == 0:
            return None
        sending, receiving = handshake.split()
        self._sealer = FrameSealer(sending, self._rekey_frames)
        self._opener = FrameOpener(receiving, self._rekey_frames)
        self._phase = _Phase.OPEN
        # From here on nobody, this process included, can decrypt the handshake again.
        self._handshake = None
        return HandshakeDone(handshake.remote_static, payload, handshake.handshake_hash)

    def _on_transport(self, flag: Flag, chunk: bytes) -> ChannelEvent | None:
        match flag:
            case Flag.LAST | Flag.MORE:
                message = self._assembler.add(flag, chunk)
                return None if message is None else Message(message)
            case Flag.PING:
                _check_token(chunk)
                if self._phase is _Phase.OPEN:
                    self._pongs.append(chunk)
                return None
            case Flag.PONG:
                _check_token(chunk)
                return Pong(chunk)
            case Flag.CLOSE:
                if self._assembler.is_inside:
                    raise FrameError("close within a message")
                return self._on_close(_close_reason(chunk))
            case _:
                assert_never(flag)

    def _on_close(self, reason: str) -> Closed:
        # The answer tells the side that closed first that nothing of ours was cut off on the way.
        if self._phase is _Phase.OPEN:
            self._queue(self._require_open().seal(Flag.CLOSE, b""))
        self._phase = _Phase.CLOSED
        self._pongs.clear()
        self._input.clear()
        return Closed(reason)

    def _fail(self) -> None:
        """Drop everything, keys and bytes, so that nothing can be done with them by mistake."""
        self._phase = _Phase.FAILED
        self._handshake = self._sealer = self._opener = None
        self._input.clear()
        self._assembler = MessageAssembler()
        self._output.clear()
        self._output_bytes = 0
        self._pongs.clear()

    def _refuse_if_failed(self) -> None:
        if self._phase is _Phase.FAILED:
            raise ChannelUnusable(f"the channel is {self._phase.value}")

    def _require_open(self) -> FrameSealer:
        if self._phase is not _Phase.OPEN:
            raise ChannelUnusable(f"the channel is {self._phase.value}")
        assert self._sealer is not None
        return self._sealer

    def _open_sealer(self, message_bytes: int) -> FrameSealer:
        sealer = self._require_open()
        total = self._output_bytes + framed_bytes(message_bytes)
        if total > OUTPUT_BYTES_MAX:
            raise OutputFull(f"{total} bytes would wait to be written, limit {OUTPUT_BYTES_MAX}")
        return sealer

    def _queue(self, wire: bytes) -> None:
        self._output.append(wire)
        self._output_bytes += len(wire)

    def _queue_pongs(self) -> None:
        # Sealed only now, so that a peer that pings without reading cannot make the output grow.
        while self._pongs:
            assert self._sealer is not None
            self._queue(self._sealer.seal(Flag.PONG, self._pongs.popleft()))


def _check_token(chunk: bytes) -> None:
    if len(chunk) != PING_TOKEN_BYTES:
        raise FrameError(f"ping token of {len(chunk)} bytes, expected {PING_TOKEN_BYTES}")


def _close_reason(chunk: bytes) -> str:
    if len(chunk) > CLOSE_REASON_BYTES_MAX:
        raise FrameError(f"close reason of {len(chunk)} bytes, limit {CLOSE_REASON_BYTES_MAX}")
    try:
        return chunk.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FrameError(f"close reason is not UTF-8: {error}") from error
