"""
What one link's peer has that this node lacks, and which of it is asked for by which link.

Wants are lanes with a target number; the range that is asked for always begins after what is held
now, so an interrupted transfer costs one window at most. Authority lanes come first, each from its
oldest missing entry. A lane is in flight on one link at a time (`InFlight`, shared by all links).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field

from mesh.gossip.limits import IN_FLIGHT_MS_MAX, PASSES_MAX, RANGES_MAX, WANTS_MAX
from mesh.gossip.messages import Range

#: (lane, author): ascending order puts authority before data, as rows and repair have it.
LaneKey = tuple[int, bytes]


class InFlight:
    """Which link has been asked for a lane, and until when nobody else is."""

    __slots__ = ("_asked",)

    def __init__(self) -> None:
        # At most RANGES_MAX lanes per link.
        self._asked: dict[LaneKey, tuple[int, int]] = {}

    def take(self, key: LaneKey, link: int, now_ms: int) -> None:
        self._asked[key] = (link, now_ms + IN_FLIGHT_MS_MAX)

    def free(self, key: LaneKey, link: int, now_ms: int) -> bool:
        """Whether *link* may be asked for the lane."""
        held = self._asked.get(key)
        return held is None or held[0] == link or held[1] <= now_ms

    def release(self, keys: Sequence[LaneKey], link: int) -> None:
        for key in keys:
            if key in self._asked and self._asked[key][0] == link:
                del self._asked[key]

    def until(self, key: LaneKey) -> int:
        """When the lane becomes free, if nothing else happens; 0 if it is free."""
        held = self._asked.get(key)
        return 0 if held is None else held[1]


@define
class Wants:
    """
    The lanes wanted of one link, with the number that its peer's rows promise.

    A lane that was asked for and did not move is *stalled*: it is asked for again in the next
    pass, which begins when nothing else is left and only if the last pass moved something. So an
    authority lane whose author is introduced by a later one gets its turn, and a promise that is
    never kept costs at most `PASSES_MAX` questions.
    """

    _targets: dict[LaneKey, int] = field(factory=dict)
    _stalled: set[LaneKey] = field(factory=set)
    _moved: bool = False
    _passes: int = 0
    #: When the earliest lane that another link holds becomes free; 0: there is none.
    free_ms: int = 0

    def __len__(self) -> int:
        return len(self._targets)

    def add(self, key: LaneKey, target: int) -> None:
        """Want a lane up to *target*; ignored when the list is full, a later exchange brings it."""
        if not self._targets:
            # What is wanted from now on is another repair's.
            self.clear()
        if key in self._targets:
            self._targets[key] = max(target, self._targets[key])
        elif len(self._targets) < WANTS_MAX:
            self._targets[key] = target

    def drop(self, key: LaneKey) -> None:
        self._targets.pop(key, None)
        self._stalled.discard(key)

    def clear(self) -> None:
        self._targets.clear()
        self._stalled.clear()
        self._moved = False
        self._passes = 0
        self.free_ms = 0

    def moved(self, key: LaneKey) -> None:
        """The lane went on."""
        self._moved = True
        self._stalled.discard(key)

    def cap(self, key: LaneKey, target: int) -> None:
        """Beyond *target* the peer's copy is worth nothing after all."""
        if key in self._targets:
            self._targets[key] = min(target, self._targets[key])

    def stall(self, key: LaneKey) -> None:
        """The lane was asked for and did not go on."""
        if key in self._targets:
            self._stalled.add(key)

    def next_pass(self) -> bool:
        """Whether the stalled lanes are worth another pass; if so, they may be chosen again."""
        if not self._moved or self._passes >= PASSES_MAX:
            return False
        self._moved = False
        self._passes += 1
        self._stalled.clear()
        return True

    def choose(
        self,
        held: Callable[[LaneKey], int],
        free: Callable[[LaneKey], bool],
        until: Callable[[LaneKey], int],
    ) -> tuple[Range, ...]:
        """
        The ranges to ask for now, at most `RANGES_MAX`; lanes that are complete are forgotten.

        Args:
            held: The number up to which a lane is held.
            free: Whether no other link is being asked for it.
            until: When it becomes free.
        """
        chosen: list[Range] = []
        self.free_ms = 0
        for key in sorted(self._targets):
            seq, target = held(key), self._targets[key]
            if seq >= target:
                self.drop(key)
                self._moved = True
            elif key in self._stalled:
                continue
            elif not free(key):
                self.free_ms = min(self.free_ms or until(key), until(key))
            else:
                chosen.append(Range(author=key[1], lane=key[0], first=seq + 1, last=target))
                if len(chosen) == RANGES_MAX:
                    break
        return tuple(chosen)
