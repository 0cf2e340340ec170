"""What a `Persist` writes. One batch of records is one transaction: all of it or nothing."""

from __future__ import annotations

from attrs import frozen

from capability.entry import Entry
from mesh.core.events import Event


@frozen
class PutEntry:
    """
    Append to the log under the local number *n* (ascending, never reused).

    *touched* are the Worknodes whose fold depends on the entry. *own* entries must be on disk
    before anything that follows; others could be fetched again.
    """

    n: int
    entry: Entry
    touched: tuple[bytes, ...]
    own: bool


@frozen
class PutPending:
    """A LOCAL write that waits to be sealed, under a slot that is replaced when it coalesces."""

    slot: int
    data: bytes


@frozen
class DeletePending:
    """The rows were sealed, in this same transaction."""

    slots: tuple[int, ...]


@frozen
class PutEvents:
    """Append to the event list; the store trims it to `EVENTS_KEPT_MAX`."""

    events: tuple[Event, ...]


@frozen
class PutMeta:
    """A small named value of this home; an empty value deletes it."""

    key: str
    value: bytes


@frozen
class PutPeer:
    """What is remembered of a peer; empty data forgets it."""

    node: bytes
    data: bytes


@frozen
class PutProof:
    """A fork proof that is not implied by held entries: two signed headers, encoded."""

    author: bytes
    lane: int
    data: bytes


@frozen
class PutSnapshot:
    """This node's own fold, with the local number up to which it covers the log."""

    n: int
    data: bytes


Record = (
    PutEntry | PutPending | DeletePending | PutEvents | PutMeta | PutPeer | PutProof | PutSnapshot
)
