"""
What can go wrong in a channel, split by blame.

Bytes from a peer raise only `HandshakeFailed` or `FrameError`; both end the channel. A mistake or a
limit on our own side raises `ChannelUnusable`, `MessageTooLarge` or `OutputFull`; these three are
definite: nothing was queued, and the channel is as it was.
"""

from mesh.channel.events import ChannelEvent


class ChannelError(Exception):
    """
    Root of this package's errors.

    Attributes:
        events: What `Channel.receive` had authenticated before the failure, in order. They are here
            because a chunk may carry good frames before the bad one, and how a byte stream happens
            to be cut must not decide what is delivered.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.events: tuple[ChannelEvent, ...] = ()


class HandshakeFailed(ChannelError):
    """The peer is not who it should be, is in another mesh, or does not speak this protocol."""


class OtherNode(HandshakeFailed):
    """Everything is in order, but for who answers: another node of the mesh than was called."""


class FrameError(ChannelError):
    """A frame has a bad length, tag or form, or the stream ended without an authenticated close."""


class NoiseError(ChannelError):
    """A step of Noise failed. `Channel` turns it into `HandshakeFailed` or `FrameError`."""


class ChannelUnusable(ChannelError):
    """The channel is not open yet, is closed, or failed earlier."""


class MessageTooLarge(ChannelError):
    """A message or a close reason is over its limit; it can never be sent."""


class OutputFull(ChannelError):
    """Too much waits to be written; take the output, let the peer read, and send again."""
