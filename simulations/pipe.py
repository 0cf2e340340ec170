"""
One direction of one connection: a sender's buffer, a wire with a bandwidth, order kept.

TCP hides loss as delay and never reorders, so that is what a pipe does, too. What breaks these
promises on purpose is the network's (`simulations.weather`).
"""

from __future__ import annotations

from collections import deque
from typing import Final

from attrs import define, field

from mesh.core.limits import OUTBOX_BYTES_MAX

#: First wait of TCP before it sends again, and how often it doubles, in µs. Source: RFC 6298, with
#: the 200 ms minimum of Linux.
RTO_US: Final = 200_000


@define(eq=False)
class End:
    """One side of a link, as its host sees it."""

    host: int
    incarnation: int
    link: int
    #: Who answers: set once, when both ends exist.
    far: End | None = None
    is_closed: bool = False
    #: When the last byte that was given to the wire arrives, in µs.
    arrives_us: int = 0
    #: What waits for the wire, or for the path to come back, in order; its bytes, and whether the
    #: first of it is leaving.
    waiting: deque[bytes] = field(factory=deque)
    backlog: int = 0
    is_leaving: bool = False
    #: Grows when the wire's state changes; what was to leave under an earlier one starts anew.
    turn: int = 0
    was_refused: bool = False
    #: Grows whenever the peer is heard again; a look at the silence knows by it whether it is over.
    heard: int = 0
    #: Whether a message has come.
    has_heard_words: bool = False
    #: Messages that still get through before the connection is reset in the middle of one.
    doom: int | None = None

    @property
    def peer(self) -> End:
        """The other side."""
        assert self.far is not None
        return self.far

    def takes(self, size: int) -> bool:
        """Whether the buffer has room; else the message is dropped and the engine told so."""
        return self.backlog + size <= OUTBOX_BYTES_MAX

    def put(self, data: bytes) -> None:
        """It waits behind all that waits."""
        self.waiting.append(data)
        self.backlog += len(data)

    def take(self) -> bytes:
        """The first that waits goes."""
        data = self.waiting.popleft()
        self.backlog -= len(data)
        return data

    @property
    def has_drained(self) -> bool:
        """Whether repair may go on after a refusal."""
        return self.was_refused and self.backlog < OUTBOX_BYTES_MAX // 2
