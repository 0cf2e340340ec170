"""The channel against an attacker on the wire, and against a peer that breaks the rules."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.channel import (
    CLOSE_REASON_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    Channel,
    ChannelError,
    ChannelEvent,
    ChannelUnusable,
    Closed,
    FrameError,
    HandshakeDone,
    HandshakeFailed,
    Message,
    Pong,
)
from mesh.channel.frames import REKEY_FRAMES, Flag, FrameSealer, chunks, frame
from mesh.channel.noise import HandshakeState
from tests.mesh.channel.helpers import (
    cut,
    exchange,
    make_initiator,
    make_responder,
    open_pair,
    receive_all,
    split_frames,
)
from tests.mesh.channel.keys import (
    INITIATOR_EPHEMERAL,
    INITIATOR_STATIC,
    PROLOGUE,
    SMALL_ORDER_KEYS,
)

PEER_ERRORS = ("HandshakeFailed", "FrameError")
Tamper = Callable[[bytes], bytes]


class Run(NamedTuple):
    """What one side of a conversation saw, and the class name of its error."""

    events: list[ChannelEvent]
    error: str


class Side:
    """One end of a conversation, and what reaches it through a tamper function."""

    def __init__(self, channel: Channel, tamper: Tamper) -> None:
        self.channel = channel
        self.tamper = tamper
        self.events: list[ChannelEvent] = []
        self.error = ""

    def act(self, call: Callable[[Channel], list[ChannelEvent] | None]) -> None:
        """Do something with the channel, unless it failed before."""
        if self.error:
            return
        try:
            self.events.extend(call(self.channel) or [])
        except ChannelError as error:
            self.events.extend(error.events)
            self.error = type(error).__name__

    def say(self, call: Callable[[Channel], None]) -> None:
        """Send something, if the channel is open by now."""
        if self.channel.can_send:
            self.act(call)

    def hear(self, other: "Side") -> None:
        """Take what the other end has to send; a failed end sends nothing."""
        if not other.error:
            wire = self.tamper(other.channel.take_output())
            self.act(lambda channel: channel.receive(wire))


def converse(*, to_left: Tamper, to_right: Tamper) -> tuple[Run, Run]:
    """
    A fixed conversation with somebody on the wire.

    Each tamper function sees every stretch of bytes, in order. A side that fails is cut off, and
    the other one then sees the end of the stream, as with a real connection.
    """
    left = Side(make_initiator(rekey_frames=2), to_left)
    right = Side(make_responder(rekey_frames=2), to_right)

    def carry() -> None:
        right.hear(left)
        left.hear(right)

    def say(message: bytes) -> None:
        for side in (left, right):
            side.say(lambda channel: channel.send(message))

    carry()
    carry()
    for number in range(3):
        say(b"m%d" % number)
        left.say(lambda channel: channel.ping(b"01234567"))
        carry()
    for side in (left, right):
        side.say(lambda channel: channel.close("end"))
    carry()
    for side in (left, right):
        side.act(lambda channel: channel.end_of_stream())
    return Run(left.events, left.error), Run(right.events, right.error)


def honest(wire: bytes) -> bytes:
    return wire


class Recorder:
    """Lets everything through and remembers it."""

    def __init__(self) -> None:
        self.wire = b""

    def __call__(self, wire: bytes) -> bytes:
        self.wire += wire
        return wire


class Flipper:
    """Flips one bit at a place counted over the whole stream."""

    def __init__(self, bit: int) -> None:
        self.bit = bit

    def __call__(self, wire: bytes) -> bytes:
        changed = bytearray(wire)
        if 0 <= self.bit < len(wire) * 8:
            changed[self.bit // 8] ^= 1 << self.bit % 8
        self.bit -= len(wire) * 8
        return bytes(changed)


_TO_LEFT, _TO_RIGHT = Recorder(), Recorder()
HONEST = converse(to_left=_TO_LEFT, to_right=_TO_RIGHT)
TO_LEFT, TO_RIGHT = _TO_LEFT.wire, _TO_RIGHT.wire
HANDSHAKE_TO_RIGHT = b"".join(split_frames(TO_RIGHT)[:2])


def is_prefix(run: Run, whole: Run) -> bool:
    """
    Whether what was delivered was sent, in that order, with nothing left out before it.

    Names of the connection are set aside, and so are pongs: a peer that waits for the rest of a
    frame goes on sending, but answers nothing. No pong may be new.
    """

    def plain(events: list[ChannelEvent]) -> list[object]:
        named = [HandshakeDone if isinstance(event, HandshakeDone) else event for event in events]
        return [event for event in named if not isinstance(event, Pong)]

    def pongs(events: list[ChannelEvent]) -> list[ChannelEvent]:
        return [event for event in events if isinstance(event, Pong)]

    delivered = plain(run.events)
    return (
        delivered == plain(whole.events)[: len(delivered)]
        and pongs(run.events) == pongs(whole.events)[: len(pongs(run.events))]
    )


def test_the_conversation_itself_is_sound() -> None:
    left, right = HONEST
    assert left.error == right.error == ""
    assert [event for event in right.events if isinstance(event, Message)] == [
        Message(b"m0"),
        Message(b"m1"),
        Message(b"m2"),
    ]
    assert left.events[-1] == right.events[-1] == Closed("end")


@given(st.booleans(), st.data())
def test_any_flipped_bit_is_noticed_and_nothing_false_is_delivered(
    towards_right: bool, data: st.DataObject
) -> None:
    stream = TO_RIGHT if towards_right else TO_LEFT
    flipper = Flipper(data.draw(st.integers(0, len(stream) * 8 - 1)))
    left, right = converse(
        to_left=honest if towards_right else flipper, to_right=flipper if towards_right else honest
    )
    assert left.error in PEER_ERRORS or right.error in PEER_ERRORS
    assert {left.error, right.error} <= {*PEER_ERRORS, ""}
    assert is_prefix(left, HONEST[0]) and is_prefix(right, HONEST[1])


def test_every_flipped_bit_of_the_handshake_is_noticed() -> None:
    for bit in range(0, len(HANDSHAKE_TO_RIGHT) * 8, 5):
        left, right = converse(to_left=honest, to_right=Flipper(bit))
        assert left.error in PEER_ERRORS or right.error in PEER_ERRORS, bit
        assert not any(isinstance(event, Message) for event in right.events), bit


@given(st.integers(0, len(TO_RIGHT) - 1), st.lists(st.integers(0, 200)))
def test_truncated_stream_is_noticed_wherever_it_ends(size: int, sizes: list[int]) -> None:
    events, error = receive_all(make_responder(rekey_frames=2), cut(TO_RIGHT[:size], sizes))
    assert error in PEER_ERRORS
    assert events == HONEST[1].events[: len(events)]


@given(st.permutations(range(len(split_frames(TO_RIGHT)))))
def test_reordered_frames_are_refused(order: list[int]) -> None:
    frames = split_frames(TO_RIGHT)
    good = next((place for place, item in enumerate(order) if place != item), len(order))
    events, error = receive_all(make_responder(rekey_frames=2), [frames[item] for item in order])
    if good == len(order):
        assert (events, error) == (HONEST[1].events, "")
    else:
        assert error in PEER_ERRORS
        assert events == HONEST[1].events[: len(events)]


@given(st.data())
def test_repeated_or_dropped_frame_is_refused(data: st.DataObject) -> None:
    frames = split_frames(TO_RIGHT)
    # Bytes after the close frame are ignored, so the frame before it is the last of interest.
    place = data.draw(st.integers(0, len(frames) - 2))
    changed = frames[:place] + frames[place : place + 1] * data.draw(st.sampled_from([0, 2]))
    events, error = receive_all(make_responder(rekey_frames=2), [*changed, *frames[place + 1 :]])
    assert error in PEER_ERRORS
    assert events == HONEST[1].events[: len(events)]


def test_recorded_connection_cannot_be_replayed_to_fresh_keys() -> None:
    right = Channel.responder(
        prologue=PROLOGUE,
        static_key=bytes(range(1, 33)),
        ephemeral_key=bytes(range(2, 34)),
        payload=b"",
        rekey_frames=2,
    )
    assert receive_all(right, [TO_RIGHT]) == ([], "HandshakeFailed")


def test_frames_reflected_to_their_sender_are_refused() -> None:
    left, _ = open_pair()
    left.send(b"hello")
    with pytest.raises(FrameError, match="wrong tag"):
        left.receive(left.take_output())


def test_another_prologue_fails_the_handshake_before_any_payload_is_read() -> None:
    left, right = make_initiator(), make_responder(prologue=b"worknode-mesh/v1\0" + b"x" * 32)
    assert right.receive(left.take_output()) == []
    with pytest.raises(HandshakeFailed, match="message 2 refused: wrong tag") as caught:
        left.receive(right.take_output())
    assert caught.value.events == ()


@given(st.lists(st.binary(max_size=700), max_size=6), st.booleans())
def test_garbage_raises_nothing_else(pieces: list[bytes], framed: bool) -> None:
    wire = [frame(piece) for piece in pieces] if framed else pieces
    for channel in (make_initiator(), make_responder()):
        assert receive_all(channel, wire) == ([], "HandshakeFailed")


@given(st.lists(st.binary(max_size=700), max_size=6), st.booleans())
def test_garbage_after_the_handshake_raises_nothing_else(pieces: list[bytes], framed: bool) -> None:
    wire = [frame(piece) for piece in pieces] if framed else pieces
    for channel in open_pair():
        assert receive_all(channel, wire) == ([], "FrameError")


@pytest.mark.parametrize("size", [0, 31, 33, 65_535])
def test_first_message_of_another_size_is_refused_by_its_length_alone(size: int) -> None:
    with pytest.raises(HandshakeFailed, match=f"message 1 of {size} bytes, expected 32 to 32"):
        make_responder().receive(size.to_bytes(2, "big"))


@pytest.mark.parametrize("size", [95, 96 + PAYLOAD_BYTES_MAX + 1, 65_535])
def test_second_message_of_another_size_is_refused_by_its_length_alone(size: int) -> None:
    with pytest.raises(HandshakeFailed, match=f"message 2 of {size} bytes, expected 96 to 608"):
        make_initiator().receive(size.to_bytes(2, "big"))


@pytest.mark.parametrize("size", [63, 64 + PAYLOAD_BYTES_MAX + 1, 65_535])
def test_third_message_of_another_size_is_refused_by_its_length_alone(size: int) -> None:
    left, right = make_initiator(), make_responder()
    right.receive(left.take_output())
    with pytest.raises(HandshakeFailed, match=f"message 3 of {size} bytes, expected 64 to 576"):
        right.receive(size.to_bytes(2, "big"))


@pytest.mark.parametrize("size", [0, 1, 16])
def test_frame_too_short_for_its_tag_is_refused_by_its_length_alone(size: int) -> None:
    left, _ = open_pair()
    with pytest.raises(FrameError, match=f"frame of {size} bytes"):
        left.receive(size.to_bytes(2, "big"))


@pytest.mark.parametrize("key", SMALL_ORDER_KEYS, ids=lambda key: key.hex()[:8])
def test_key_of_small_order_fails_the_handshake(key: bytes) -> None:
    with pytest.raises(HandshakeFailed, match=r"message 1 refused: .* small order"):
        make_responder().receive(frame(key))
    with pytest.raises(HandshakeFailed, match=r"message 2 refused: .* small order"):
        make_initiator().receive(frame(key + bytes(64)))


def rule_breaker() -> tuple[FrameSealer, Channel]:
    """An authenticated peer whose frames we make by hand, and the channel at the other end."""
    channel = make_responder()
    handshake = HandshakeState.start(
        is_initiator=True,
        prologue=PROLOGUE,
        static_key=INITIATOR_STATIC,
        ephemeral_key=INITIATOR_EPHEMERAL,
    )
    channel.receive(frame(handshake.write_message(b"")))
    handshake.read_message(channel.take_output()[2:])
    channel.receive(frame(handshake.write_message(b"")))
    return FrameSealer(handshake.split()[0], REKEY_FRAMES), channel


@pytest.mark.parametrize(
    ("frames", "match"),
    [
        ([(Flag.PING, bytes(7))], "ping token of 7"),
        ([(Flag.PING, bytes(9))], "ping token of 9"),
        ([(Flag.PONG, b"")], "ping token of 0"),
        ([(Flag.MORE, b"")], "empty part"),
        ([(Flag.MORE, b"begun"), (Flag.CLOSE, b"")], "close within a message"),
        ([(Flag.CLOSE, bytes(CLOSE_REASON_BYTES_MAX + 1))], "close reason of 201"),
        ([(Flag.CLOSE, b"\xff")], "not UTF-8"),
        ([*chunks(bytes(MESSAGE_BYTES_MAX + 1))], f"limit {MESSAGE_BYTES_MAX}"),
    ],
)
def test_authenticated_peer_that_breaks_a_rule_is_refused(
    frames: list[tuple[Flag, bytes]], match: str
) -> None:
    sealer, channel = rule_breaker()
    good = sealer.seal(Flag.LAST, b"good")
    with pytest.raises(FrameError, match=match) as caught:
        channel.receive(good + b"".join(sealer.seal(*item) for item in frames))
    assert caught.value.events == (Message(b"good"),)


@given(
    st.lists(st.tuples(st.sampled_from(Flag), st.binary(max_size=12)), max_size=12),
    st.lists(st.integers(0, 60)),
)
def test_frames_of_any_shape_do_the_same_for_any_cut(
    frames: list[tuple[Flag, bytes]], sizes: list[int]
) -> None:
    results = []
    for pieces_of in (lambda wire: [wire], lambda wire: cut(wire, sizes)):
        sealer, channel = rule_breaker()
        wire = b"".join(sealer.seal(*item) for item in frames)
        results.append(receive_all(channel, pieces_of(wire)))
    assert results[0] == results[1]
    assert results[0][1] in ("FrameError", "")


def test_failed_channel_stays_dead() -> None:
    left, right = open_pair()
    left.send(b"waiting")
    with pytest.raises(FrameError):
        left.receive(bytes(2))
    right.send(b"good bytes")
    for act in (
        lambda: left.receive(right.take_output()),
        lambda: left.send(b""),
        lambda: left.ping(bytes(8)),
        lambda: left.close(""),
        left.take_output,
        left.end_of_stream,
    ):
        with pytest.raises(ChannelUnusable, match="dead after an error"):
            act()
    assert not left.can_send and left.output_bytes == 0


def test_failed_channel_keeps_no_keys_and_shows_none() -> None:
    left, right = open_pair()
    assert "key" not in repr(left).replace("rekey", "")
    with pytest.raises(FrameError):
        left.receive(bytes(2))
    assert (left._sealer, left._opener, left._handshake) == (None, None, None)
    assert exchange(right, make_responder()) == ([], [])
