"""
Pins, and the branch of a forked lane that they select.

A pin is effective on an entry if it counts, ranks before it, and is by an issuer or ancestor of
the entry's chain or by a holder of REVOKE over its scopes. Of the effective pins at or beyond the
fork, in the order (rank, id), the first selects the branch, each later one that extends the
selected tip moves it, and the others are skipped. Equals cannot pin equals, so the rule is well
founded: whether a pin counts is settled by links and pins of lesser rank alone.

A pin that names an entry which is not held has no effect yet.

Source: docs/formats.md, rule 9.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from attrs import frozen

from capability.authority import Authority, covers
from capability.bodies import Pin
from capability.entry import LANE_AUTHORITY, LANE_DATA
from capability.lane import Lane, LaneKey, Path
from capability.links import Act
from capability.permissions import REVOKE

__all__ = ["Pins", "Statement", "binds", "is_covered", "is_effective", "lanes_named", "select"]


@frozen(eq=False)
class Statement:
    """What one held pin says of one lane."""

    pin: Act
    seq: int
    tip: bytes


class Pins:
    """Held pins by the lanes that they speak of."""

    __slots__ = ("_rows", "_tips")

    def __init__(self) -> None:
        # By the author of the pin, too: anybody may sign pins of any lane.
        self._rows: dict[LaneKey, dict[bytes, list[Statement]]] = {}
        self._tips: dict[bytes, list[Act]] = {}

    def add(self, act: Act) -> None:
        """Index a pin's rows. Cost: O(rows)."""
        for key, seq, tip in lanes_named(act.pin):
            said = self._rows.setdefault(key, {}).setdefault(act.header.author, [])
            said.append(Statement(act, seq, tip))
            self._tips.setdefault(tip, []).append(act)

    def naming(self, entry_id: bytes) -> Iterable[Act]:
        """The held pins that name this entry as a tip, whether or not they count."""
        return self._tips.get(entry_id, ())

    def of(self, key: LaneKey) -> Iterable[Statement]:
        """Every statement about one lane, whether or not its pin counts."""
        return chain.from_iterable(self._rows.get(key, {}).values())

    def by(self, author: bytes, key: LaneKey) -> Sequence[Statement]:
        """What one author's pins say of one lane. Cost: O(1)."""
        return self._rows.get(key, {}).get(author, ())

    def counted(self, key: LaneKey, lane: Lane) -> list[Statement]:
        """The statements that may settle the lane's fork, by (rank, id)."""
        assert lane.fork_seq is not None
        rows = [
            row
            for row in self.of(key)
            if row.seq >= lane.fork_seq and row.pin.counts and lane.holds(row.seq, row.tip)
        ]
        rows.sort(key=lambda row: (row.pin.rank, row.pin.id))
        return rows


def lanes_named(pin: Pin | None) -> list[tuple[LaneKey, int, bytes]]:
    """The lanes of which a pin states a tip: (lane, seq, id)."""
    found = []
    for row in pin.rows if pin is not None else ():
        for lane, tip in ((LANE_AUTHORITY, row.auth), (LANE_DATA, row.data)):
            if tip is not None:
                found.append(((row.author, lane), *tip))
    return found


def is_effective(pin: Act, target: Authority) -> bool:
    """Whether a pin that counts binds the entries made by *target*."""
    by = pin.under
    if by is None or by.rank >= target.rank:
        return False
    if target.chain[: by.rank] == by.chain:
        return True
    return bool(by.perms & REVOKE) and covers(by, target)


def binds(pins: Iterable[Act], grants: Sequence[tuple[Act, Authority]]) -> bool:
    """
    Whether one of *pins* can select a branch for what is made by one of *grants*.

    Anybody may sign pins of anything: those that bind nobody must not cost a judgement of all.
    """
    return any(pin.counts and is_effective(pin, passes) for pin in pins for _, passes in grants)


def select(lane: Lane, rows: list[Statement], targets: Iterable[Authority]) -> Path | None:
    """
    The selected branch of a forked lane, None if there is none.

    Args:
        lane: The lane.
        rows: What `Pins.counted` gives for it.
        targets: A pin is heard if it is effective on one of these.
    """
    targets = tuple(targets)
    selected: Path | None = None
    for row in rows:
        if selected is not None and row.seq <= selected.seq:
            continue
        if not any(is_effective(row.pin, target) for target in targets):
            continue
        path = lane.path(row.seq, row.tip)
        assert path is not None, "only held tips are counted"
        if selected is None or lane.is_on(path, selected.seq, selected.id):
            selected = path
    return selected


def is_covered(act: Act, lane: Lane, said: Iterable[Statement]) -> bool:
    """Whether an effective pin names this act, or an entry after it on its branch of *lane*."""
    for statement in said:
        if statement.seq < act.header.seq or not statement.pin.counts or act.under is None:
            continue
        path = lane.path(statement.seq, statement.tip)
        on_it = path is not None and lane.is_on(path, act.header.seq, act.id)
        if on_it and is_effective(statement.pin, act.under):
            return True
    return False
