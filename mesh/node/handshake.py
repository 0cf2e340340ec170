"""
The handshake of one connection: both ends prove their keys, within a time for each message.

Source: docs/formats-wire.md; the bounds on sizes are in `mesh.channel.channel`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import trio
from attrs import field, frozen

from capability.keys import Signer
from mesh.channel import (
    Channel,
    ChannelEvent,
    HandshakeDone,
    HandshakeFailed,
    OtherNode,
    identity_payload,
    prologue,
    static_public,
    verify_identity,
)

#: A whole handshake; honest ones take milliseconds and one round trip and a half.
HANDSHAKE_S_MAX: Final = 5.0
#: One message of whoever calls: who says nothing leaves its place to others sooner. Whoever is
#: called may be busy with a step of its engine, and has all of the above.
HANDSHAKE_MESSAGE_S_MAX: Final = 2.0
#: Read at once: more than a message of the handshake has.
_READ_BYTES: Final = 1024


@frozen
class ChannelKeys:
    """What this process proves itself with; the static key lives as long as the process."""

    mesh_id: bytes
    node_key: bytes
    payload: bytes = field(repr=False)
    _static_key: bytes = field(repr=False)

    @classmethod
    def create(cls, signer: Signer, mesh_id: bytes) -> ChannelKeys:
        """Fresh keys for *signer*'s node."""
        static_key = os.urandom(32)
        payload = identity_payload(
            node_key=signer.public,
            sign=signer.sign,
            mesh_id=mesh_id,
            static_public=static_public(static_key),
        )
        return cls(mesh_id, signer.public, payload, static_key)

    def channel(self, *, outbound: bool) -> Channel:
        """One side of a new connection, with an ephemeral key of its own."""
        make = Channel.initiator if outbound else Channel.responder
        return make(
            prologue=prologue(self.mesh_id),
            static_key=self._static_key,
            ephemeral_key=os.urandom(32),
            payload=self.payload,
        )


@frozen
class Authenticated:
    """A finished handshake; *early* came with its last message and has to be delivered."""

    peer: bytes
    handshake_hash: bytes
    early: tuple[ChannelEvent, ...]


async def shake_hands(
    stream: trio.abc.Stream,
    channel: Channel,
    keys: ChannelKeys,
    *,
    expected: bytes | None,
    message_s_max: float = HANDSHAKE_S_MAX,
) -> Authenticated:
    """
    Authenticate the other end, which must be *expected* unless that is None.

    Args:
        stream: The connection.
        channel: This side of it.
        keys: What this process proves itself with.
        expected: The node that was dialled, None for whoever called or a node not known yet.
        message_s_max: For each message of the other end, however it is cut.

    Raises:
        HandshakeFailed: Not of this mesh, not the expected node, this node itself, or too slow.
        trio.BrokenResourceError: The connection broke.
    """
    try:
        with trio.fail_after(HANDSHAKE_S_MAX), trio.fail_after(message_s_max) as next_message:
            while True:
                output = channel.take_output()
                if output:
                    await stream.send_all(output)
                    next_message.deadline = trio.current_time() + message_s_max
                data = await stream.receive_some(_READ_BYTES)
                if not data:
                    channel.end_of_stream()
                events = channel.receive(bytes(data))
                if events:
                    # Judged before any more output: a wrong peer does not learn who called.
                    return _judge(events, keys, expected)
    except trio.TooSlowError as error:
        raise HandshakeFailed(
            f"no handshake within {HANDSHAKE_S_MAX:g} s, {message_s_max:g} s for each message"
        ) from error


def _judge(
    events: Sequence[ChannelEvent], keys: ChannelKeys, expected: bytes | None
) -> Authenticated:
    done = events[0]
    assert isinstance(done, HandshakeDone), done
    peer = verify_identity(done.payload, mesh_id=keys.mesh_id, static_public=done.remote_static)
    if peer == keys.node_key:
        raise HandshakeFailed("this is the node itself, or a copy of its home")
    if expected is not None and peer != expected:
        raise OtherNode(f"node {peer.hex()[:8]} answers, expected {expected.hex()[:8]}")
    return Authenticated(peer, done.handshake_hash, tuple(events[1:]))
