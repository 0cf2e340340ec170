"""What the engine is told. Inputs are plain values, so that a run can be recorded and replayed."""

from __future__ import annotations

from attrs import frozen

from mesh.core.writes import Write

LOCAL = "local"
EVENTUAL = "eventual"

#: The source of addresses that anybody in the same network may have announced.
MDNS = "mdns"

Address = tuple[str, int]


@frozen
class Now:
    """The two clocks at one instant: monotonic for deadlines, wall for stamps. Both in ms."""

    mono_ms: int
    wall_ms: int


@frozen
class LinkOpened:
    """
    A channel to *peer* is up: authenticated as a key, not yet as a member.

    *listen* is where this node may be dialled now, None if that is as it was at the start.
    """

    link: int
    peer: bytes
    outbound: bool
    address: Address | None
    handshake_hash: bytes
    listen: tuple[Address, ...] | None = None


@frozen
class LinkClosed:
    """The link is gone, whoever closed it."""

    link: int
    reason: str


@frozen
class Received:
    """One whole message from the link's peer; nothing about it has been checked."""

    link: int
    data: bytes


@frozen
class Measured:
    """A heart-beat came back."""

    link: int
    rtt_ms: float


@frozen
class OutboxFull:
    """A message for the link was dropped, because its send buffer is full."""

    link: int


@frozen
class OutboxDrained:
    """The link's send buffer fell below half of its bound: repair may go on."""

    link: int


@frozen
class DialFailed:
    """Nobody answered at *address*, or the handshake failed there, or another node answered."""

    address: Address
    reason: str
    is_other: bool = False


@frozen
class Found:
    """Discovery, a ticket or the user names an address where a member may listen. A hint only."""

    address: Address
    source: str
    node: bytes | None = None


@frozen
class Submit:
    """A local session's writes: all of them or none, in one group."""

    request: int
    writes: tuple[Write, ...]
    level: str = EVENTUAL
    session: str = ""


@frozen
class IssueGrant:
    """Grant *perms* over *scopes* (Worknode ids) to *audience*, under a grant of this node."""

    request: int
    audience: bytes
    akind: int
    scopes: tuple[bytes, ...]
    perms: int
    max_depth: int
    exp_ms: int
    caveats: tuple[tuple[int, object], ...] = ()
    label: str = ""


@frozen
class SyncNow:
    """Compare with every connected peer now. The reply comes at once."""

    request: int


@frozen
class Seal:
    """Seal all pending rows now (shutdown, `mesh sync`)."""

    request: int


@frozen
class Tick:
    """A deadline has passed."""


Input = (
    LinkOpened
    | LinkClosed
    | Received
    | Measured
    | OutboxFull
    | OutboxDrained
    | DialFailed
    | Found
    | Submit
    | IssueGrant
    | SyncNow
    | Seal
    | Tick
)
