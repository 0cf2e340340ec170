"""
The search for the first entry in which two replicas' copies of one lane differ.

Both copies begin at the same place (number 0, the mesh id) and differ at *high*. Each question
asks for up to `HEADERS_MAX` signed headers between the two, so a lane of n entries takes
log₁₇ n questions. Where neighbours are equal and different, the two headers prove the fork.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, frozen

from capability.entry import SignedHeader
from mesh.gossip.limits import BISECTION_STEPS_MAX, HEADERS_MAX
from mesh.gossip.ranges import LaneKey


@frozen
class ForkFound:
    """
    Two headers of one author, lane and number, ascending by id. Nobody has verified them yet.

    Whoever receives this checks both signatures and hands the pair to the replica.
    """

    first: SignedHeader
    second: SignedHeader


@frozen
class Fruitless:
    """The search ended without a fork: the copies no longer differ, or the peer does not answer."""

    reason: str


def _as_fork(mine: SignedHeader, theirs: SignedHeader) -> ForkFound:
    return ForkFound(mine, theirs) if mine.id < theirs.id else ForkFound(theirs, mine)


@define
class Bisection:
    """One search, asked of one link. The copies agree at *low* and differ at *high*."""

    key: LaneKey
    high: int
    low: int = 0
    request: int = -1
    asked: tuple[int, ...] = ()
    steps: int = 0

    def ask(self, request: int) -> tuple[int, ...]:
        """The numbers to ask for, spread evenly over (low, high]; high is always among them."""
        width = self.high - self.low
        parts = min(width, HEADERS_MAX)
        self.asked = tuple(self.low + -(-width * i // parts) for i in range(1, parts + 1))
        self.request = request
        self.steps += 1
        return self.asked

    def answer(
        self,
        headers: Sequence[SignedHeader | None],
        own: Callable[[int], SignedHeader | None],
    ) -> ForkFound | Fruitless | None:
        """
        Narrow the search by the peer's headers at the asked numbers; None: ask again.

        A peer that lies can only end the search or lengthen it up to its bound: a fork that it
        reports needs the author's two signatures.
        """
        lane, author = self.key
        if len(headers) != len(self.asked):
            return Fruitless(f"{len(headers)} headers for {len(self.asked)} numbers")
        for seq, theirs in zip(self.asked, headers, strict=True):
            mine = own(seq)
            if mine is None or theirs is None:
                return Fruitless(f"no header at {seq}")
            if (theirs.header.author, theirs.header.lane, theirs.header.seq) != (author, lane, seq):
                return Fruitless(f"a header of another lane or number for {seq}")
            if mine.id == theirs.id:
                self.low = seq
                continue
            self.high = seq
            if seq - self.low > 1:
                break
            if mine.header.prev != theirs.header.prev:
                return Fruitless(f"no common predecessor at {seq}")
            return _as_fork(mine, theirs)
        else:
            return Fruitless("the copies do not differ")
        return None if self.steps < BISECTION_STEPS_MAX else Fruitless("too many steps")
