"""
The secure channel between two nodes: Noise XX and frames.

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
    OutputFull,
)
from mesh.channel.events import ChannelEvent, Closed, HandshakeDone, Message, Pong
from mesh.channel.frames import (
    CLOSE_REASON_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    PING_TOKEN_BYTES,
    REKEY_FRAMES,
)
from mesh.channel.noise import static_public

__all__ = [
    "CLOSE_REASON_BYTES_MAX",
    "MESSAGE_BYTES_MAX",
    "OUTPUT_BYTES_MAX",
    "PAYLOAD_BYTES_MAX",
    "PING_TOKEN_BYTES",
    "PONGS_WAITING_MAX",
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
    "OutputFull",
    "Pong",
    "static_public",
]
