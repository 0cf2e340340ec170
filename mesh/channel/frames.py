"""
Frames: how messages become ciphertexts on a byte stream, and back.

On the wire a frame is a length (u16, big-endian) and that many bytes, in the handshake too. After
the handshake those bytes are a ciphertext, whose plaintext is one flag byte and a chunk:

    0 LAST   the end of a message, which may be all of it       3 PONG   the echo, 8 bytes
    1 MORE   a part of a message that goes on, never empty      4 CLOSE  reason, UTF-8 ≤ 200 bytes
    2 PING   8 bytes to be echoed

PING and PONG may stand between the parts of a message; CLOSE may not. Each direction has its own
cipher, counts its own frames of every kind, and rekeys after each `REKEY_FRAMES` of them, so both
sides change keys at the same frame and nothing about it goes over the wire.

Differs: rekeying by the hour, which some protocols add, is left out. It would need a clock and
    a frame to announce it; a driver that wants it dials again and gets wholly fresh keys.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from attrs import define, field

from mesh.channel.errors import FrameError, NoiseError
from mesh.channel.noise import NOISE_MESSAGE_BYTES_MAX, TAG_BYTES, CipherState

LENGTH_BYTES: Final = 2
FRAME_BYTES_MAX: Final = NOISE_MESSAGE_BYTES_MAX
# A transport frame holds at least its flag.
FRAME_BYTES_MIN: Final = TAG_BYTES + 1
CHUNK_BYTES_MAX: Final = FRAME_BYTES_MAX - FRAME_BYTES_MIN
# Guess: four of the largest entries.
MESSAGE_BYTES_MAX: Final = 1 << 20
PING_TOKEN_BYTES: Final = 8
CLOSE_REASON_BYTES_MAX: Final = 200
# Guess, far below what ChaCha20-Poly1305 stands: at 64 KiB a frame it is 64 GiB under one key.
REKEY_FRAMES: Final = 1 << 20


class Flag(IntEnum):
    """What a transport frame is."""

    LAST = 0
    MORE = 1
    PING = 2
    PONG = 3
    CLOSE = 4


_FLAGS: Final = tuple(Flag)


def frame(content: bytes) -> bytes:
    """*content* with its length before it."""
    return len(content).to_bytes(LENGTH_BYTES, "big") + content


def chunks(message: bytes) -> Iterator[tuple[Flag, bytes]]:
    """The parts in which *message* is sent: all but the last are full."""
    last = max(len(message) - 1, 0) // CHUNK_BYTES_MAX * CHUNK_BYTES_MAX
    for start in range(0, last, CHUNK_BYTES_MAX):
        yield Flag.MORE, message[start : start + CHUNK_BYTES_MAX]
    yield Flag.LAST, message[last:]


def framed_bytes(message_bytes: int) -> int:
    """What a message of that size takes on the wire."""
    frames = max(-(-message_bytes // CHUNK_BYTES_MAX), 1)
    return message_bytes + frames * (LENGTH_BYTES + FRAME_BYTES_MIN)


@define(eq=False)
class FrameBuffer:
    """Bytes that wait for the rest of their frame: less than one frame once all `pop`s are done."""

    _data: bytearray = field(factory=bytearray, repr=False)

    def push(self, data: bytes) -> None:
        """Add what came from the stream."""
        self._data += data

    def length(self) -> int | None:
        """The length that the next frame states, as soon as it is known."""
        if len(self._data) < LENGTH_BYTES:
            return None
        return int.from_bytes(self._data[:LENGTH_BYTES], "big")

    def pop(self) -> bytes | None:
        """The next frame without its length, or nothing while it is incomplete."""
        length = self.length()
        if length is None or len(self._data) < LENGTH_BYTES + length:
            return None
        end = LENGTH_BYTES + length
        with memoryview(self._data) as view:
            content = bytes(view[LENGTH_BYTES:end])
        # Deleting at the front of a bytearray moves no bytes, so this is linear over a stream.
        del self._data[:end]
        return content

    def clear(self) -> None:
        """Forget everything."""
        self._data.clear()

    def __len__(self) -> int:
        return len(self._data)


@define(eq=False)
class FrameSealer:
    """Makes the frames of one direction."""

    _cipher: CipherState
    _rekey_frames: int

    def seal(self, flag: Flag, chunk: bytes) -> bytes:
        """The frame as it goes over the wire."""
        assert len(chunk) <= CHUNK_BYTES_MAX, f"chunk of {len(chunk)} bytes"
        content = self._cipher.encrypt(b"", bytes((flag,)) + chunk)
        if self._cipher.nonce % self._rekey_frames == 0:
            self._cipher.rekey()
        return frame(content)


@define(eq=False)
class FrameOpener:
    """Reads the frames of one direction, and refuses any that is not the next one."""

    _cipher: CipherState
    _rekey_frames: int

    def open(self, content: bytes) -> tuple[Flag, bytes]:
        """
        The flag and chunk of a frame.

        Raises:
            FrameError: It is forged, changed, repeated or out of order, or its flag is unknown.
        """
        try:
            plaintext = self._cipher.decrypt(b"", content)
        except NoiseError as error:
            raise FrameError(f"frame of {len(content)} bytes refused: {error}") from error
        if self._cipher.nonce % self._rekey_frames == 0:
            self._cipher.rekey()
        if plaintext[0] >= len(_FLAGS):
            raise FrameError(f"unknown flag {plaintext[0]}, expected at most {len(_FLAGS) - 1}")
        return _FLAGS[plaintext[0]], plaintext[1:]


@define(eq=False)
class MessageAssembler:
    """Puts the parts of a message together; holds at most `MESSAGE_BYTES_MAX`."""

    _parts: bytearray = field(factory=bytearray, repr=False)

    @property
    def is_inside(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._parts)

    def add(self, flag: Flag, chunk: bytes) -> bytes | None:
        """
        Take one data chunk.

        Returns:
            The whole message, if this was its last part.

        Raises:
            FrameError: The message is over its limit, or a part that goes on is empty.
        """
        size = len(self._parts) + len(chunk)
        if size > MESSAGE_BYTES_MAX:
            raise FrameError(f"message of {size} bytes or more, limit {MESSAGE_BYTES_MAX}")
        if flag is Flag.MORE:
            # Empty parts would let a peer keep us busy for ever inside one message.
            if not chunk:
                raise FrameError("an empty part of a message that goes on")
            self._parts += chunk
            return None
        if not self._parts:
            return chunk
        self._parts += chunk
        message = bytes(self._parts)
        self._parts = bytearray()
        return message
