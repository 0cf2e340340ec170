"""What the channel's tests share: a pair of channels, and a wire between them."""

from collections.abc import Iterable

from mesh.channel import Channel, ChannelError, ChannelEvent
from mesh.channel.frames import REKEY_FRAMES
from tests.mesh.channel.keys import (
    INITIATOR_EPHEMERAL,
    INITIATOR_STATIC,
    PROLOGUE,
    RESPONDER_EPHEMERAL,
    RESPONDER_STATIC,
)


def make_initiator(
    *,
    prologue: bytes = PROLOGUE,
    payload: bytes = b"initiator's payload",
    rekey_frames: int = REKEY_FRAMES,
) -> Channel:
    """A dialling channel with the fixed keys."""
    return Channel.initiator(
        prologue=prologue,
        static_key=INITIATOR_STATIC,
        ephemeral_key=INITIATOR_EPHEMERAL,
        payload=payload,
        rekey_frames=rekey_frames,
    )


def make_responder(
    *,
    prologue: bytes = PROLOGUE,
    payload: bytes = b"responder's payload",
    rekey_frames: int = REKEY_FRAMES,
) -> Channel:
    """An accepting channel with the fixed keys."""
    return Channel.responder(
        prologue=prologue,
        static_key=RESPONDER_STATIC,
        ephemeral_key=RESPONDER_EPHEMERAL,
        payload=payload,
        rekey_frames=rekey_frames,
    )


def exchange(left: Channel, right: Channel) -> tuple[list[ChannelEvent], list[ChannelEvent]]:
    """Carry bytes both ways until both are silent; the events of each side."""
    seen: tuple[list[ChannelEvent], list[ChannelEvent]] = ([], [])
    while True:
        to_right, to_left = left.take_output(), right.take_output()
        if not to_right and not to_left:
            return seen
        seen[0].extend(left.receive(to_left))
        seen[1].extend(right.receive(to_right))


def open_pair(*, rekey_frames: int = REKEY_FRAMES) -> tuple[Channel, Channel]:
    """Two channels whose handshake is done."""
    left = make_initiator(rekey_frames=rekey_frames)
    right = make_responder(rekey_frames=rekey_frames)
    exchange(left, right)
    return left, right


def split_frames(wire: bytes) -> list[bytes]:
    """Cut a stretch of the stream into its frames, lengths included."""
    frames = []
    while wire:
        size = 2 + int.from_bytes(wire[:2], "big")
        frames.append(wire[:size])
        wire = wire[size:]
    return frames


def cut(wire: bytes, sizes: Iterable[int]) -> list[bytes]:
    """Cut *wire* into pieces of the given sizes; what is left is the last piece."""
    pieces = []
    for size in sizes:
        pieces.append(wire[:size])
        wire = wire[size:]
    return [*pieces, wire]


def receive_all(channel: Channel, pieces: Iterable[bytes]) -> tuple[list[ChannelEvent], str]:
    """Feed pieces, then the end of the stream; all events, and the error's class name if any."""
    events: list[ChannelEvent] = []
    try:
        for piece in pieces:
            events.extend(channel.receive(piece))
        channel.end_of_stream()
    except ChannelError as error:
        return [*events, *error.events], type(error).__name__
    return events, ""
