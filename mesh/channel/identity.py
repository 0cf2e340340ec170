"""
Whose channel is it: binding the long-lived node key to the channel's key.

The Noise static key is made for each process and never stored. The node key (Ed25519) signs it,
with the mesh id, and the signature travels encrypted inside the handshake. The two keys are never
the same key in two shapes, so no proof about one depends on uses of the other.

Source: Yusef Napora, "noise-libp2p: Secure Channel Handshake", 2019, "Static Key Authentication",
    https://github.com/libp2p/specs/blob/master/noise/README.md
Differs: the mesh id is signed too, so a node in two meshes cannot have its proof carried across.
"""

from collections.abc import Callable
from typing import Final

from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from crdt.codec import decode, encode
from crdt.errors import CodecError
from mesh.channel.channel import PAYLOAD_BYTES_MAX
from mesh.channel.errors import HandshakeFailed
from mesh.channel.noise import KEY_BYTES

PROTOCOL_PROLOGUE: Final = b"worknode-mesh/v1\0"
NOISE_STATIC_DOMAIN: Final = b"worknode-mesh/v1/noise-static\0"
MESH_ID_BYTES: Final = 32
NODE_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


def prologue(mesh_id: bytes) -> bytes:
    """What both sides of a channel must agree on: the protocol and the mesh."""
    assert len(mesh_id) == MESH_ID_BYTES, f"mesh id of {len(mesh_id)} bytes"
    return PROTOCOL_PROLOGUE + mesh_id


def identity_payload(
    *,
    node_key: bytes,
    sign: Callable[[bytes], bytes],
    mesh_id: bytes,
    static_public: bytes,
) -> bytes:
    """
    What a node sends inside the handshake.

    Args:
        node_key: The node's Ed25519 public key, 32 bytes.
        sign: Signs with the private half of *node_key* and returns the 64-byte signature.
        mesh_id: 32 bytes.
        static_public: The channel's own X25519 public key, 32 bytes.

    Returns:
        `[node_key, signature]`, encoded. It holds for as long as the static key is in use.
    """
    assert len(node_key) == NODE_KEY_BYTES, f"node key of {len(node_key)} bytes"
    signature = sign(_signed_bytes(mesh_id, static_public))
    assert len(signature) == SIGNATURE_BYTES, f"signature of {len(signature)} bytes"
    return encode([node_key, signature])


def verify_identity(payload: bytes, *, mesh_id: bytes, static_public: bytes) -> bytes:
    """
    Read the peer's payload.

    Args:
        payload: `HandshakeDone.payload`.
        mesh_id: 32 bytes.
        static_public: `HandshakeDone.remote_static`.

    Returns:
        The public key of the node at the other end. Whether that node may be in the mesh, and
        whether it is the one that was dialled, is for the caller to judge.

    Raises:
        HandshakeFailed: The payload is malformed, or the signature is not by that key over this
            static key in this mesh.
    """
    try:
        value = decode(payload, size_max=PAYLOAD_BYTES_MAX, depth_max=1)
    except CodecError as error:
        raise HandshakeFailed(f"identity is malformed: {error}") from error
    match value:
        case [bytes() as node_key, bytes() as signature] if (
            len(node_key) == NODE_KEY_BYTES and len(signature) == SIGNATURE_BYTES
        ):
            pass
        case _:
            raise HandshakeFailed("identity is malformed: expected [node key, signature]")
    try:
        VerifyKey(node_key).verify(_signed_bytes(mesh_id, static_public), signature)
    except CryptoError as error:
        raise HandshakeFailed(f"identity of {node_key.hex()} has a wrong signature") from error
    return node_key


def _signed_bytes(mesh_id: bytes, static_public: bytes) -> bytes:
    # Both have a fixed size, so the parts cannot be shifted against each other.
    assert len(mesh_id) == MESH_ID_BYTES, f"mesh id of {len(mesh_id)} bytes"
    assert len(static_public) == KEY_BYTES, f"static key of {len(static_public)} bytes"
    return NOISE_STATIC_DOMAIN + mesh_id + static_public
