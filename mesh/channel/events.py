"""What a channel reports to its caller, as values."""

from attrs import frozen


@frozen
class HandshakeDone:
    """
    The peer has proved that it holds *remote_static*; nothing says yet whose key that is.

    Check *payload* with `verify_identity` before anything else, and before `Channel.take_output`:
    then a dialler that finds the wrong peer has not told it who called.

    Attributes:
        remote_static: The peer's X25519 public key of this connection, 32 bytes.
        payload: What the peer sent inside the handshake, at most `PAYLOAD_BYTES_MAX`.
        handshake_hash: 32 bytes, equal on both sides, different for each connection; sign it to
            bind a statement to this channel.
    """

    remote_static: bytes
    payload: bytes
    handshake_hash: bytes


@frozen
class Message:
    """One whole message, authenticated, in the order of sending."""

    data: bytes


@frozen
class Pong:
    """The peer has answered a ping; after a burst of pings only the newest are answered."""

    token: bytes


@frozen
class Closed:
    """
    The peer ended the channel, and every message that it sent before has been delivered.

    Attributes:
        reason: The peer's words, for people. Any text: escape it before it reaches a terminal.
    """

    reason: str


ChannelEvent = HandshakeDone | Message | Pong | Closed
