"""
What peers say to each other. Bytes are `mesh.wire`'s; meaning is docs/formats-wire.md's.

A message here has the right form and nothing more: whoever handles it decides what it is worth.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from attrs import frozen

from capability.entry import SignedHeader
from capability.frontier import FrontierRow
from crdt.codec import Value
from mesh.core.inputs import Address

#: Key of the hello's extension pair that holds the node's name.
EXT_NAME: Final = 1


class GoodbyeCode(IntEnum):
    """Why a link ends, for the peer's machine; the text beside it is for its people."""

    NOT_A_MEMBER = 1
    TICKET_USED = 2
    TICKET_EXPIRED = 3
    BAD_PROOF = 4
    VERSION = 5
    SHUTTING_DOWN = 6
    HEAD_MISMATCH = 7
    DUPLICATE_LINK = 8
    PROTOCOL_VIOLATION = 9


@frozen
class Join:
    """A ticket holder's chain from genesis, and its proof over the handshake hash (or none)."""

    chain: tuple[bytes, ...]
    signature: bytes


@frozen
class Hello:
    """
    The first message of each side.

    `your_heads` states what the speaker holds of the listener's own two lanes, by the listener's
    own signed headers. `ext` are pairs ascending by key, unknown keys are ignored.
    """

    proto_min: int
    proto_max: int
    features: int
    software: str
    rules: int
    auth_root: bytes
    data_root: bytes
    your_heads: tuple[SignedHeader | None, SignedHeader | None]
    addresses: tuple[Address, ...]
    region: str
    wall_ms: int
    join: Join | None = None
    ext: tuple[tuple[int, Value], ...] = ()

    @property
    def name(self) -> str:
        """The node's name, empty if it gave none."""
        return next((str(value) for key, value in self.ext if key == EXT_NAME), "")


@frozen
class Goodbye:
    """The last message, where there is time for one. `code` may be one that this node ignores."""

    code: int
    text: str


@frozen
class Roots:
    """Are we equal? The speaker's frontier roots now."""

    auth_root: bytes
    data_root: bytes
    nonce: int


@frozen
class RootsReply:
    """The answer: the other side's roots, and whether they equalled the asked ones."""

    auth_root: bytes
    data_root: bytes
    nonce: int
    equal: bool


@frozen
class Rows:
    """
    One part of a frontier: all rows if *base* is empty, else those that moved since that root.

    The side that began the exchange sends its rows; the other answers under the same number with
    those rows in which it has something the first one lacks.
    """

    exchange: int
    base: bytes
    part: int
    last: bool
    rows: tuple[FrontierRow, ...]


@frozen
class NeedFull:
    """The base of this exchange is not known here."""

    exchange: int


@frozen
class Range:
    """Entries *first* to *last* of one lane."""

    author: bytes
    lane: int
    first: int
    last: int


@frozen
class Get:
    """Send these ranges in this order, up to *budget* bytes and at least one entry."""

    request: int
    ranges: tuple[Range, ...]
    budget: int


@frozen
class Entries:
    """The answer to `Get` or `GetById`; *done* unless the budget has cut it short."""

    request: int
    entries: tuple[bytes, ...]
    done: bool


@frozen
class GetById:
    """Send these entries, wherever they stand: branches and shelf included."""

    request: int
    ids: tuple[bytes, ...]


@frozen
class GetHeaders:
    """Send the signed headers at these numbers of a lane."""

    request: int
    author: bytes
    lane: int
    seqs: tuple[int, ...]


@frozen
class Headers:
    """The answer, in the order asked; None where nothing is held."""

    request: int
    author: bytes
    lane: int
    headers: tuple[SignedHeader | None, ...]


@frozen
class ForkProof:
    """Two different headers of one author, lane and number, ascending by id."""

    first: SignedHeader
    second: SignedHeader


@frozen
class Push:
    """
    New entries, unasked, or those that a graft names.

    `hops` are the links that they had come over before this one: 0 from their author (the
    paper's round).
    """

    entries: tuple[bytes, ...]
    hops: int = 0


@frozen
class Held:
    """The speaker holds a lane up to *seq*, and would push it with *hops*."""

    number: int
    lane: int
    seq: int
    hops: int


@frozen
class Have:
    """
    What is held and not pushed: the lazy half of the push (the paper's IHAVE).

    Authors are named once per link: *authors* get the numbers from *first* on, and `held`, which
    ascends by (number, lane), names them by their numbers.
    """

    first: int
    authors: tuple[bytes, ...]
    held: tuple[Held, ...]


@frozen
class Missed:
    """The speaker holds a lane up to *after*, and wants what comes then."""

    author: bytes
    lane: int
    after: int


@frozen
class Graft:
    """Push these authors' entries on this link, beginning with those that are missing."""

    missed: tuple[Missed, ...]


@frozen
class Prune:
    """
    Announce these authors' entries on this link, and do not push them.

    *rest*: those of all others too of whom nothing was pushed on it yet, the listener's own
    excepted.
    """

    authors: tuple[bytes, ...]
    rest: bool = False


@frozen
class Told:
    """Where a node has said that it listens."""

    node: bytes
    addresses: tuple[Address, ...]


@frozen
class Peers:
    """Nodes that the speaker is linked with, ascending by key: hints, as all addresses are."""

    peers: tuple[Told, ...]


Message = (
    Hello
    | Goodbye
    | Roots
    | RootsReply
    | Rows
    | NeedFull
    | Get
    | Entries
    | GetById
    | GetHeaders
    | Headers
    | ForkProof
    | Push
    | Have
    | Graft
    | Prune
    | Peers
)
