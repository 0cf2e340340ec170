"""
The secure channel between two nodes: Noise XX, frames, and the binding to a node's identity.

Pure and synchronous: no sockets, no clock, no randomness; see `mesh.channel.channel`.
"""

from mesh.channel.channel import (
    OUTPUT_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    PONGS_WAITING_MAX,
    Channel,
)
from mesh.channel.errors import (
    ChannelError,
    ChannelUnusable,
    FrameError,
    HandshakeFailed,
    MessageTooLarge,
    OtherNode,
    OutputFull,
)
from mesh.channel.events import ChannelEvent, Closed, HandshakeDone, Message, Pong
from mesh.channel.frames import (
    CLOSE_REASON_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    PING_TOKEN_BYTES,
    REKEY_FRAMES,
)
from mesh.channel.identity import (
    PROTOCOL_PROLOGUE,
    identity_payload,
    prologue,
    verify_identity,
)
from mesh.channel.noise import static_public

__all__ = [
    "CLOSE_REASON_BYTES_MAX",
    "MESSAGE_BYTES_MAX",
    "OUTPUT_BYTES_MAX",
    "PAYLOAD_BYTES_MAX",
    "PING_TOKEN_BYTES",
    "PONGS_WAITING_MAX",
    "PROTOCOL_PROLOGUE",
    "REKEY_FRAMES",
    "Channel",
    "ChannelError",
    "ChannelEvent",
    "ChannelUnusable",
    "Closed",
    "FrameError",
    "HandshakeDone",
    "HandshakeFailed",
    "Message",
    "MessageTooLarge",
    "OtherNode",
    "OutputFull",
    "Pong",
    "identity_payload",
    "prologue",
    "static_public",
    "verify_identity",
]
