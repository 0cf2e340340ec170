"""
Fetching a pinned branch: from its tip, which a pin names, down to what is held, and up again.

A row of a forked lane covers one branch, which whoever has followed another one lacks from some
place on that neither knows. So the headers are asked for from the tip downwards: each is named by
the one above it, the first by the pin, so that no peer can lead anywhere else. Then the entries
come by their ids, lowest first, and the replica takes them however full the lane is of others.

Source: docs/formats-wire.md §Forks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from attrs import define, field

from capability.entry import SignedHeader
from mesh.gossip.bisect import Fruitless
from mesh.gossip.limits import BRANCH_IDS_MAX, HEADERS_MAX, IDS_MAX
from mesh.gossip.ranges import LaneKey


@define
class BranchFetch:
    """
    One branch, asked of one link, for as many questions as its tip's number allows.

    Its way down is given up when *until_ms* has come and it is not whole.

    Of more ids than `BRANCH_IDS_MAX` the lowest are kept: when these are held, the way from the tip
    is walked once more, down to them. A pin may name any number, and a peer make up its headers.
    """

    key: LaneKey
    seq: int
    tip: bytes
    until_ms: int
    request: int = -1
    asked: tuple[int, ...] = ()
    #: Ids from the tip downwards, as far as they are known and not held.
    ids: deque[bytes] = field(factory=lambda: deque(maxlen=BRANCH_IDS_MAX))
    #: How many numbers the last of them is below the tip, it included.
    depth: int = 0
    #: The way is known down to what is held.
    is_whole: bool = False
    _next: bytes = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._next = self.tip

    def ask(self, request: int) -> tuple[int, ...]:
        """The numbers of the headers to ask for."""
        top = self.seq - self.depth
        self.asked = tuple(range(max(top - HEADERS_MAX + 1, 1), top + 1))
        self.request = request
        return self.asked

    def answer(
        self,
        headers: Sequence[SignedHeader | None],
        holds: Callable[[int, bytes], bool],
    ) -> Fruitless | None:
        """Take headers at the asked numbers; *holds* says whether (number, id) is held."""
        if len(headers) != len(self.asked):
            return Fruitless(f"{len(headers)} headers for {len(self.asked)} numbers")
        for seq, found in zip(reversed(self.asked), reversed(headers), strict=True):
            if found is None or found.id != self._next or found.header.seq != seq:
                return Fruitless(f"no header of the branch at {seq}")
            self.ids.append(found.id)
            self.depth += 1
            self._next = found.header.prev
            if holds(seq - 1, self._next):
                self.is_whole = True
                return None
        return Fruitless("a branch that begins nowhere") if self.asked[0] == 1 else None

    def missing(self, holds: Callable[[int, bytes], bool]) -> tuple[bytes, ...]:
        """The next ids to ask for, lowest first; those that are held by now are forgotten."""
        while self.ids and holds(self.seq - self.depth + 1, self.ids[-1]):
            self.ids.pop()
            self.depth -= 1
        return tuple(islice(reversed(self.ids), IDS_MAX))
