"""A second opinion: the `noiseprotocol` package on the other end, in both roles."""

import warnings
from typing import Any

import pytest

from mesh.channel import Channel, FrameError, HandshakeDone, Message, Pong
from mesh.channel.frames import Flag, frame
from tests.mesh.channel.helpers import make_initiator, make_responder, split_frames
from tests.mesh.channel.keys import (
    INITIATOR_EPHEMERAL,
    INITIATOR_PUBLIC,
    INITIATOR_STATIC,
    PROLOGUE,
    RESPONDER_EPHEMERAL,
    RESPONDER_PUBLIC,
    RESPONDER_STATIC,
)


def other(*, is_initiator: bool) -> Any:
    """The package's connection with our fixed keys."""
    with warnings.catch_warnings():
        # The package is old; what its imports are warned of is not ours to mend.
        warnings.simplefilter("ignore")
        module = pytest.importorskip("noise.connection")
    peer = module.NoiseConnection.from_name(b"Noise_XX_25519_ChaChaPoly_SHA256")
    peer.set_prologue(PROLOGUE)
    static = INITIATOR_STATIC if is_initiator else RESPONDER_STATIC
    ephemeral = INITIATOR_EPHEMERAL if is_initiator else RESPONDER_EPHEMERAL
    peer.set_keypair_from_private_bytes(module.Keypair.STATIC, static)
    peer.set_keypair_from_private_bytes(module.Keypair.EPHEMERAL, ephemeral)
    if is_initiator:
        peer.set_as_initiator()
    else:
        peer.set_as_responder()
    with warnings.catch_warnings():
        # It warns of fixed ephemeral keys, rightly; here they make a failure repeatable.
        warnings.simplefilter("ignore")
        peer.start_handshake()
    return peer


def with_other_initiator(rekey_frames: int = 1 << 20) -> tuple[Any, Channel]:
    peer, channel = other(is_initiator=True), make_responder(rekey_frames=rekey_frames)
    assert channel.receive(frame(bytes(peer.write_message()))) == []
    assert peer.read_message(channel.take_output()[2:]) == b"responder's payload"
    events = channel.receive(frame(bytes(peer.write_message(b"three"))))
    assert events == [HandshakeDone(INITIATOR_PUBLIC, b"three", peer.get_handshake_hash())]
    return peer, channel


def with_other_responder(rekey_frames: int = 1 << 20) -> tuple[Any, Channel]:
    peer, channel = other(is_initiator=False), make_initiator(rekey_frames=rekey_frames)
    assert peer.read_message(channel.take_output()[2:]) == b""
    events = channel.receive(frame(bytes(peer.write_message(b"two"))))
    assert peer.read_message(channel.take_output()[2:]) == b"initiator's payload"
    assert events == [HandshakeDone(RESPONDER_PUBLIC, b"two", peer.get_handshake_hash())]
    return peer, channel


@pytest.mark.parametrize("connect", [with_other_initiator, with_other_responder])
def test_frames_go_both_ways(connect: Any) -> None:
    peer, channel = connect()
    channel.send(b"from us")
    channel.ping(b"12345678")
    plain = [bytes(peer.decrypt(wire[2:])) for wire in split_frames(channel.take_output())]
    assert plain == [b"\x00from us", b"\x0212345678"]
    wire = b"".join(
        frame(bytes(peer.encrypt(bytes([flag]) + chunk)))
        for flag, chunk in [(Flag.MORE, b"to "), (Flag.PONG, b"12345678"), (Flag.LAST, b"you")]
    )
    assert channel.receive(wire) == [Pong(b"12345678"), Message(b"to you")]


@pytest.mark.parametrize("connect", [with_other_initiator, with_other_responder])
def test_rekey_is_understood(connect: Any) -> None:
    peer, channel = connect(rekey_frames=2)
    for number in range(6):
        channel.send(b"%d" % number)
        wire = channel.take_output()
        assert bytes(peer.decrypt(wire[2:])) == b"\0%d" % number
        assert channel.receive(frame(bytes(peer.encrypt(b"\0%d" % number)))) == [
            Message(b"%d" % number)
        ]
        if number % 2:
            peer.rekey_inbound_cipher()
            peer.rekey_outbound_cipher()


def test_peer_that_does_not_rekey_is_refused() -> None:
    peer, channel = with_other_initiator(rekey_frames=2)
    channel.receive(frame(bytes(peer.encrypt(b"\0one"))) + frame(bytes(peer.encrypt(b"\0two"))))
    with pytest.raises(FrameError, match="wrong tag"):
        channel.receive(frame(bytes(peer.encrypt(b"\0three"))))
