"""What reconciliation knows of one link. Bounded: see the limit beside each field."""

from __future__ import annotations

from attrs import define, field, frozen

from mesh.core.limits import REPAIR_INTERVAL_MS, REPAIR_TIMEOUT_MS
from mesh.gossip.bisect import Bisection
from mesh.gossip.branch import BranchFetch
from mesh.gossip.exchange import Answer, Parts
from mesh.gossip.limits import (
    BISECTIONS_MAX,
    BRANCH_WALK_MS_MAX,
    BRANCH_WALK_MS_MIN,
    PROOFS_KNOWN_MAX,
    REPAIR_BACKOFF_MS_MAX,
    SETTLE_MS,
)
from mesh.gossip.messages import Range
from mesh.gossip.ranges import LaneKey, Wants
from mesh.gossip.serve import Question


@frozen
class Asked:
    """A `Roots` under way: what this node held when it asked."""

    nonce: int
    roots: tuple[bytes, bytes]
    version: int
    since_ms: int


@frozen
class Window:
    """A `Get` under way (at most one per link), or a `GetById` if it names no ranges."""

    request: int
    ranges: tuple[Range, ...]
    since_ms: int


@frozen
class LinkSync:
    """One link for `status`: only what was measured."""

    link: int
    peer: bytes
    #: The last comparison said "equal", and nothing moved here since.
    in_sync: bool
    #: Wall clock of the last comparison, None before the first one.
    compared_ms: int | None
    #: A repair is going on.
    busy: bool
    #: Lanes in which the peer is known to have more.
    behind: int


@define
class Session:
    """The state of repair on one ready link."""

    link: int
    peer: bytes
    #: The low bit of the exchange numbers that this side gives, so that the two never clash.
    parity: int
    #: When roots are compared next.
    compare_ms: int = 0
    #: When they are compared because something has moved here; None if nothing has.
    settle_ms: int | None = None
    blocked: bool = False
    asked: Asked | None = None
    #: My exchange: the parts of the answer that are still to come.
    mine: Parts | None = None
    #: The peer's exchange, which I am answering.
    answer: Answer | None = None
    wants: Wants = field(factory=Wants)
    window: Window | None = None
    fetch: Window | None = None
    bisection: Bisection | None = None
    #: Lanes that wait for a bisection, with the number at which the copies differ.
    split: dict[LaneKey, int] = field(factory=dict)
    #: The pinned branch that is being fetched, and lanes that wait for it: the tip that is wanted.
    branch: BranchFetch | None = None
    branches: dict[LaneKey, tuple[int, bytes]] = field(factory=dict)
    #: How often the way down a branch took too long, of as many lanes as may wait.
    walks: dict[LaneKey, int] = field(factory=dict)
    #: Questions that wait until the link drains: at most one of each class.
    waiting: dict[type, Question] = field(factory=dict)
    #: Digests of fork proofs that the peer was sent or has shown.
    proofs: dict[LaneKey, bytes] = field(factory=dict)
    busy: bool = False
    #: This repair has an exchange that I began.
    began: bool = False
    #: In this repair the peer fetched from me.
    served: bool = False
    #: This repair brought something.
    gained: bool = False
    #: When the repair last went on.
    moved_ms: int = 0
    #: No exchange of my own before this.
    exchange_ms: int = 0
    #: Nothing is asked of this peer before this: it did not keep what its rows promised.
    trust_ms: int = 0
    failures: int = 0
    #: The next exchange sends all rows.
    full: bool = False
    equal_version: int | None = None
    compared_ms: int | None = None
    _number: int = 0

    def number(self) -> int:
        """A fresh number for a request, nonce or exchange of this link."""
        self._number += 1
        return self._number

    def exchange_number(self) -> int:
        return self.number() * 2 + self.parity

    def add_split(self, key: LaneKey, seq: int) -> None:
        """Remember a lane to be searched for its fork, unless too many wait already."""
        if seq > 0 and (key in self.split or len(self.split) < BISECTIONS_MAX):
            self.split[key] = seq

    def add_branch(self, key: LaneKey, tip: tuple[int, bytes]) -> None:
        """Want a pinned branch; ignored when too many wait, a later exchange brings it."""
        if key in self.branches or len(self.branches) < BISECTIONS_MAX:
            self.branches[key] = tip

    def next_branch(self, now_ms: int) -> BranchFetch:
        """Begin with the branch that has taken the least time so far; one must be waiting."""
        key = min(self.branches, key=lambda key: (self.walks.get(key, 0), key))
        patience_ms = min(BRANCH_WALK_MS_MIN << self.walks.get(key, 0), BRANCH_WALK_MS_MAX)
        self.branch = BranchFetch(key, *self.branches.pop(key), now_ms + patience_ms)
        return self.branch

    def walked_too_long(self, key: LaneKey) -> None:
        """Let other branches go before this one, and this one take longer the next time."""
        # Doubled so often it is far beyond the most.
        self.walks[key] = min(self.walks.pop(key, 0) + 1, 16)
        if len(self.walks) > BISECTIONS_MAX:
            del self.walks[next(iter(self.walks))]

    def knows_proof(self, key: LaneKey, proof: bytes) -> None:
        self.proofs.pop(key, None)
        self.proofs[key] = proof
        if len(self.proofs) > PROOFS_KNOWN_MAX:
            del self.proofs[next(iter(self.proofs))]

    @property
    def working(self) -> bool:
        """Whether anything of the repair is still open."""
        return bool(
            self.mine
            or self.answer
            or self.window
            or self.bisection
            or self.split
            or self.branch
            or self.branches
            or self.wants
        )

    def compare_later(self, now_ms: int) -> None:
        """
        The next comparison is due after the interval.

        The lower key's turn comes first, and its question serves both sides.
        """
        patience = REPAIR_INTERVAL_MS // 4 if self.parity else 0
        self.compare_ms = now_ms + REPAIR_INTERVAL_MS + patience
        self.settle_ms = None

    def has_moved(self, now_ms: int) -> None:
        """Compare soon after the last of a row of changes, and no later than the interval."""
        patience = SETTLE_MS // 2 if self.parity else 0
        self.settle_ms = max(now_ms + SETTLE_MS + patience, self.exchange_ms)

    def work(self, now_ms: int) -> None:
        """The repair goes on."""
        self.busy = True
        self.moved_ms = now_ms

    def failed(self, now_ms: int) -> None:
        """Back off: each failure in a row doubles the pause."""
        pause = min(REPAIR_INTERVAL_MS << min(self.failures, 8), REPAIR_BACKOFF_MS_MAX)
        self.failures += 1
        self.exchange_ms = max(self.exchange_ms, now_ms + pause)
        self.compare_ms = self.exchange_ms

    def distrust(self, now_ms: int) -> None:
        """Back off, and ask nothing of this peer until then, whatever its rows promise."""
        self.failed(now_ms)
        self.trust_ms = self.exchange_ms

    def reset(self) -> None:
        """Drop whatever the repair had open."""
        self.mine = self.answer = self.window = self.fetch = self.bisection = self.branch = None
        self.wants.clear()
        self.split.clear()
        self.branches.clear()
        self.busy = self.began = self.gained = self.served = False

    @property
    def patience_ms(self) -> int:
        """When a repair that goes on is given up, in monotonic ms."""
        # A peer that goes on comparing keeps the repair moving, and may still owe an answer.
        since = self.moved_ms if self.window is None else min(self.moved_ms, self.window.since_ms)
        return since + REPAIR_TIMEOUT_MS

    @property
    def deadline(self) -> int:
        """When something is due on this link, in monotonic ms."""
        if self.busy:
            if not self.working:
                # Only the fork that the engine verifies keeps a repair open; if it was not told of
                # the end, the next tick ends it.
                return self.moved_ms
            due = self.patience_ms
            waits = self.window is None and self.wants.free_ms and not self.blocked
            return min(due, self.wants.free_ms) if waits else due
        if self.asked is not None:
            return self.asked.since_ms + REPAIR_TIMEOUT_MS
        return self.compare_ms if self.settle_ms is None else min(self.compare_ms, self.settle_ms)

    def status(self, version: int) -> LinkSync:
        equal = self.equal_version is not None and self.equal_version == version
        return LinkSync(self.link, self.peer, equal, self.compared_ms, self.busy, len(self.wants))
