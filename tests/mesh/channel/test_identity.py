"""The binding of a node's key to the channel's key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from crdt.codec import encode
from mesh.channel import (
    PAYLOAD_BYTES_MAX,
    PROTOCOL_PROLOGUE,
    Channel,
    HandshakeDone,
    HandshakeFailed,
    identity_payload,
    prologue,
    verify_identity,
)
from tests.mesh.channel.helpers import exchange
from tests.mesh.channel.keys import (
    INITIATOR_EPHEMERAL,
    INITIATOR_PUBLIC,
    INITIATOR_STATIC,
    RESPONDER_EPHEMERAL,
    RESPONDER_PUBLIC,
    RESPONDER_STATIC,
)

NODE = SigningKey(bytes(range(32)))
NODE_KEY = bytes(NODE.verify_key)
OTHER = SigningKey(bytes(range(1, 33)))
OTHER_KEY = bytes(OTHER.verify_key)
MESH = b"m" * 32


def sign(message: bytes) -> bytes:
    return NODE.sign(message).signature


def make_payload(
    *, node_key: bytes = NODE_KEY, mesh_id: bytes = MESH, static_public: bytes = INITIATOR_PUBLIC
) -> bytes:
    return identity_payload(
        node_key=node_key, sign=sign, mesh_id=mesh_id, static_public=static_public
    )


def verify(payload: bytes) -> bytes:
    return verify_identity(payload, mesh_id=MESH, static_public=INITIATOR_PUBLIC)


def test_prologue_names_protocol_and_mesh() -> None:
    assert prologue(MESH) == b"worknode-mesh/v1\0" + MESH
    assert PROTOCOL_PROLOGUE == b"worknode-mesh/v1\0"


def test_signed_bytes_are_frozen() -> None:
    signed = b"worknode-mesh/v1/noise-static\0" + MESH + INITIATOR_PUBLIC
    assert make_payload() == encode([NODE_KEY, sign(signed)])


def test_identity_is_read_back_and_fits() -> None:
    assert verify(make_payload()) == NODE_KEY
    assert len(make_payload()) <= PAYLOAD_BYTES_MAX


@pytest.mark.parametrize(
    "payload",
    [
        make_payload(node_key=OTHER_KEY),
        make_payload(mesh_id=b"n" * 32),
        make_payload(static_public=RESPONDER_PUBLIC),
    ],
    ids=["another node", "another mesh", "another channel"],
)
def test_signature_of_something_else_is_refused(payload: bytes) -> None:
    with pytest.raises(HandshakeFailed, match="wrong signature"):
        verify(payload)


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        NODE_KEY,
        [],
        [NODE_KEY],
        [NODE_KEY, bytes(64), b""],
        [NODE_KEY[1:], bytes(64)],
        [NODE_KEY, bytes(63)],
        [NODE_KEY, bytes(65)],
        ["x" * 32, bytes(64)],
        [NODE_KEY, [bytes(64)]],
    ],
    ids=repr,
)
def test_malformed_identity_is_refused(value: object) -> None:
    with pytest.raises(HandshakeFailed, match="malformed"):
        verify(encode(value))


def test_identity_over_the_payload_limit_is_refused() -> None:
    with pytest.raises(HandshakeFailed, match="malformed"):
        verify(encode([NODE_KEY, bytes(PAYLOAD_BYTES_MAX)]))


@given(st.integers(0, len(make_payload()) * 8 - 1))
def test_no_flipped_bit_passes(bit: int) -> None:
    payload = bytearray(make_payload())
    payload[bit // 8] ^= 1 << bit % 8
    with pytest.raises(HandshakeFailed):
        verify(bytes(payload))


@given(st.binary(max_size=PAYLOAD_BYTES_MAX + 8))
def test_garbage_raises_nothing_else(payload: bytes) -> None:
    with pytest.raises(HandshakeFailed):
        verify(payload)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64))
def test_well_formed_garbage_raises_nothing_else(node_key: bytes, signature: bytes) -> None:
    with pytest.raises(HandshakeFailed, match="wrong signature"):
        verify(encode([node_key, signature]))


@pytest.mark.parametrize("node_key", [bytes(32), b"\x01" + bytes(31)], ids=["order 4", "order 1"])
def test_node_key_of_small_order_is_refused(node_key: bytes) -> None:
    # With such a key a constant signature would hold for every message.
    with pytest.raises(HandshakeFailed, match="wrong signature"):
        verify(encode([node_key, b"\x01" + bytes(63)]))


def test_two_nodes_learn_each_other_through_a_channel() -> None:
    left = Channel.initiator(
        prologue=prologue(MESH),
        static_key=INITIATOR_STATIC,
        ephemeral_key=INITIATOR_EPHEMERAL,
        payload=make_payload(),
    )
    right = Channel.responder(
        prologue=prologue(MESH),
        static_key=RESPONDER_STATIC,
        ephemeral_key=RESPONDER_EPHEMERAL,
        payload=identity_payload(
            node_key=OTHER_KEY,
            sign=lambda message: OTHER.sign(message).signature,
            mesh_id=MESH,
            static_public=RESPONDER_PUBLIC,
        ),
    )
    events = exchange(left, right)
    found = [
        verify_identity(event.payload, mesh_id=MESH, static_public=event.remote_static)
        for (event,) in events
        if isinstance(event, HandshakeDone)
    ]
    assert found == [OTHER_KEY, NODE_KEY]
