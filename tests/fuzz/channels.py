"""The secure channel: what a stranger sends, what a peer sends that has its keys, and its proof."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from capability.keys import SeedSigner
from mesh.channel import Channel, ChannelUnusable, FrameError, HandshakeFailed
from mesh.channel.channel import OUTPUT_BYTES_MAX
from mesh.channel.events import Message
from mesh.channel.frames import CHUNK_BYTES_MAX, MESSAGE_BYTES_MAX, FrameSealer, frame
from mesh.channel.identity import identity_payload, verify_identity
from tests.fuzz.target import KIB, Broken, Target
from tests.mesh.channel.helpers import exchange, make_initiator, make_responder

_MESH: Final = b"M" * 32
_STATIC: Final = b"S" * 32
_REKEY_FRAMES: Final = 8


def _feed(channel: Channel, data: bytes, sizes: bytes) -> None:
    """Show *data* in pieces of *sizes*; only the two errors that name the peer may come of it."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    pieces.append(data[at:])
    for piece in pieces:
        try:
            events = channel.receive(piece)
            channel.take_output()
        except (HandshakeFailed, FrameError):
            with suppress(ChannelUnusable):
                channel.receive(b"more")
                raise Broken("a channel went on after it had failed") from None
            return
        for event in events:
            if isinstance(event, Message) and len(event.data) > MESSAGE_BYTES_MAX:
                raise Broken(f"a message of {len(event.data)} bytes")
        if channel.output_bytes > OUTPUT_BYTES_MAX + 64 * KIB:
            raise Broken(f"{channel.output_bytes} bytes wait")
    with suppress(HandshakeFailed, FrameError):
        channel.end_of_stream()


def _channel(data: bytes) -> None:
    """
    Which side and how far it is, how the stream is cut, and the stream of a man in the middle.

    His bytes are laid over what an honest peer sends, by exclusive or: zeros leave it as it is.
    """
    if len(data) < 2:
        return
    left, right = make_initiator(), make_responder()
    opening = left.take_output()
    steps, sizes = data[0], data[2 : 2 + data[1] % 8]
    noise = data[2 + len(sizes) :]
    if steps % 2 == 0:
        victim, stream = right, opening
    else:
        victim = left
        right.receive(opening)
        stream = right.take_output()
    if steps % 3 == 0:
        # The last step of the handshake, and what comes behind it.
        left, right = make_initiator(), make_responder()
        right.receive(left.take_output())
        left.receive(right.take_output())
        left.send(b"hello")
        left.ping(b"8 bytes.")
        left.close("bye")
        victim, stream = right, left.take_output()
    length = max(len(stream), len(noise))
    mixed = int.from_bytes(stream.ljust(length, b"\0"), "little") ^ int.from_bytes(noise, "little")
    _feed(victim, mixed.to_bytes(length, "little"), sizes)


def _channel_seeds() -> Iterator[bytes]:
    for steps in range(6):
        yield bytes((steps, 0))
        yield bytes((steps, 3, 1, 2, 40)) + bytes(60) + b"\1"


def _frames(data: bytes) -> None:
    """
    What an authenticated peer may seal: any flags, any sizes, any order, any cut.

    Each frame is a flag, its size in two bytes, and a byte that says how it is filled.
    """
    left = make_initiator(rekey_frames=_REKEY_FRAMES)
    right = make_responder(rekey_frames=_REKEY_FRAMES)
    exchange(left, right)
    sealer: FrameSealer = left._sealer
    wire = bytearray()
    sizes = data[:4]
    for at in range(4, len(data) - 3, 4):
        flag, size, fill = data[at], int.from_bytes(data[at + 1 : at + 3], "big"), data[at + 3]
        chunk = bytes((fill,)) * min(size, CHUNK_BYTES_MAX)
        content = sealer._cipher.encrypt(b"", bytes((flag,)) + chunk)
        if sealer._cipher.nonce % _REKEY_FRAMES == 0:
            sealer._cipher.rekey()
        wire += frame(content)
    _feed(right, bytes(wire), sizes)


def _frames_seeds() -> Iterator[bytes]:
    yield bytes((1, 2, 3, 250)) + bytes((0, 0, 5, 65))
    yield bytes(4) + bytes((1, 255, 255, 1)) * 18 + bytes((0, 0, 1, 1))
    yield bytes(4) + bytes((1, 0, 9, 65, 2, 0, 8, 66, 3, 0, 8, 66, 0, 0, 1, 67, 4, 0, 3, 68))
    yield bytes(4) + bytes((2, 0, 8, 1)) * 40 + bytes((4, 0, 200, 65, 4, 0, 201, 65))
    yield bytes(4) + bytes((4, 0, 2, 255, 9, 0, 0, 0))


def _identity(data: bytes) -> None:
    with suppress(HandshakeFailed):
        key = verify_identity(data, mesh_id=_MESH, static_public=_STATIC)
        if len(key) != 32:
            raise Broken(f"a key of {len(key)} bytes")


def _identity_seeds() -> Iterator[bytes]:
    signer = SeedSigner(b"k" * 32)
    yield identity_payload(
        node_key=signer.public, sign=signer.sign, mesh_id=_MESH, static_public=_STATIC
    )
    yield identity_payload(
        node_key=signer.public, sign=signer.sign, mesh_id=_MESH, static_public=b"T" * 32
    )


TARGETS: Final = (
    Target("channel", _channel, _channel_seeds, size_max=2 * KIB, is_packed=False),
    # Four bytes of an input are a frame of up to 64 KiB, of which several copies live at once.
    Target(
        "frames", _frames, _frames_seeds, size_max=400, memory=(8 << 20, 4 << 16), is_packed=False
    ),
    Target("identity", _identity, _identity_seeds, size_max=KIB),
)
