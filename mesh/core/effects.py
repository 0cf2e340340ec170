"""
What the engine wants done. The order of the list is the durability contract.

What stands after a `Persist` happens after its records are on disk, and only if they got there.
"""

from __future__ import annotations

from attrs import frozen

from mesh.core.errors import MeshError
from mesh.core.events import Event
from mesh.core.inputs import Address
from mesh.core.records import Record


@frozen
class Persist:
    """Write these in the batch's transaction."""

    records: tuple[Record, ...]


@frozen
class Send:
    """Queue one encoded message on a link. Lost if the link is gone."""

    link: int
    data: bytes


@frozen
class Connect:
    """Dial. `node` is the key that must answer, if known."""

    address: Address
    node: bytes | None


@frozen
class Disconnect:
    """Close a link with an authenticated reason."""

    link: int
    reason: str


@frozen
class Emit:
    """Tell subscribers; the events are persisted already and carry their cursors."""

    events: tuple[Event, ...]


@frozen
class Reply:
    """The answer to one request. A value here means durable."""

    request: int
    value: object = None
    error: MeshError | None = None


@frozen
class Log:
    """A line for the operator. `level` as in logging; `fields` are flat."""

    level: str
    event: str
    fields: tuple[tuple[str, object], ...] = ()


Effect = Persist | Send | Connect | Disconnect | Emit | Reply | Log
