"""
Pins, and the branch of a forked lane that they select.

A pin is effective on an entry if it counts, ranks before it, and is by an issuer or ancestor of
the entry's chain or by a holder of REVOKE over its scopes. Of a forked lane one branch stands, for
all of its author's grants alike: of the pins that are effective on any of them and name a held tip
at or beyond the fork, in the order (level, rank, id), the first selects the branch, each later one
that extends the selected tip moves it, and the others are skipped. The *level* of a pin is the
rank of what the shallowest such grant lets its author make. On that branch an entry counts up to
the furthest tip that a pin names which is effective on the entry itself.

The rule is well founded: a pin of level r, and the grants that give it this level, are settled by
what ranks before r, and no pin of a greater level can take back what those select. One branch for
all is what makes the frontier's one row say everything: were the branch another one for each
grant, two pins could make two branches count, of which a row covers one.

A pin that names an entry which is not held has no effect yet.

Source: docs/formats.md, rule 9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from attrs import define, field, frozen

from capability.authority import Authority, covers
from capability.bodies import Pin
from capability.entry import LANE_AUTHORITY, LANE_DATA
from capability.lane import Lane, LaneKey, Path
from capability.links import Act, Links, note_above
from capability.permissions import REVOKE

__all__ = [
    "Choice",
    "Pins",
    "Statement",
    "any_binds",
    "binds",
    "choose",
    "is_covered",
    "is_effective",
    "lanes_named",
    "levels",
]


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

    def naming(self, entry_id: bytes) -> Sequence[Act]:
        """The held pins that name this entry as a tip, whether or not they count."""
        return self._tips.get(entry_id, ())

    def of(self, key: LaneKey) -> Iterable[Statement]:
        """Every statement about one lane, whether or not its pin counts."""
        return chain.from_iterable(self._rows.get(key, {}).values())

    def by(self, author: bytes, key: LaneKey) -> Sequence[Statement]:
        """What one author's pins say of one lane. Cost: O(1)."""
        return self._rows.get(key, {}).get(author, ())

    def counted(self, key: LaneKey, fork_seq: int) -> list[Statement]:
        """The statements by pins that count of tips at or after the fork; tips need not be held."""
        return [row for row in self.of(key) if row.seq >= fork_seq and row.pin.counts]


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


def binds(pin: Act, links: Links, author: bytes) -> bool:
    """Whether a pin, if it counts, is effective on what is made by one held grant to *author*."""
    if pin.under is None:
        return False
    # Anybody may sign grants to a key: these must not be gone through for each pin.
    if pin.under.leaf in links.above(author):
        return True
    return _has_revoke(pin) and any(is_effective(pin, each) for _, each in links.held_by(author))


def any_binds(pins: Iterable[Act], links: Links, author: bytes) -> bool:
    """
    Whether one of *pins* can select a branch for what is made by a held grant to *author*.

    Anybody may sign pins of anything: those that bind nobody must not cost a judgement of all.
    """
    # What a pin binds depends on the grant by which it was made alone.
    return any(
        binds(pin, links, author)
        for pin in {pin.header.leaf: pin for pin in pins if pin.counts}.values()
    )


@define
class Choice:
    """What the pins make of a forked lane: the branch that stands, and the pins that were heard."""

    path: Path | None = None
    #: Each names a tip on the path.
    heard: list[Statement] = field(factory=list)
    _reach: dict[bytes, int] = field(factory=dict)
    #: The furthest tip that the pins made by each grant name, and those of them with REVOKE.
    _furthest: dict[bytes, Statement] | None = None
    _wide: list[Statement] = field(factory=list)

    def reach(self, under: Authority) -> int:
        """
        How far up the path what is made by *under* counts; 0: not at all. Cost: O(its chain).

        Once O(pins), and each time one step for each grant with REVOKE by which pins were made.
        """
        found = self._reach.get(under.leaf)
        if found is None:
            if self._furthest is None:
                self._furthest = {}
                for row in self.heard:
                    leaf = row.pin.header.leaf
                    if leaf not in self._furthest or row.seq > self._furthest[leaf].seq:
                        self._furthest[leaf] = row
                wide = self._furthest.values()
                self._wide = [row for row in wide if _has_revoke(row.pin)]
            # Root keys have REVOKE: theirs are among the wide.
            above = (self._furthest.get(leaf) for leaf in under.chain[:-1])
            rows = [row for row in (*above, *self._wide) if row is not None]
            seqs = (row.seq for row in rows if is_effective(row.pin, under))
            found = self._reach[under.leaf] = max(seqs, default=0)
        return found


def _has_revoke(pin: Act) -> bool:
    return pin.under is not None and bool(pin.under.perms & REVOKE)


def levels(grants: Sequence[Authority]) -> Callable[[Act], int | None]:
    """
    Of a pin the least rank of what one of *grants* makes and it binds, None if it binds nothing.

    What a pin binds depends on the grant by which it was made, of which there may be thousands, and
    so of *grants*. Cost: O(grants) once, and for each scope and rank of pins made with REVOKE.
    """
    above: dict[bytes, int] = {}
    for grant in grants:
        note_above(above, grant)
    within: dict[tuple[int, tuple[bytes, ...]], int | None] = {}

    def covered(by: Authority) -> int | None:
        at = by.rank, by.scopes
        if at not in within:
            ranks = (g.rank for g in grants if by.rank < g.rank and covers(by, g))
            within[at] = min(ranks, default=None)
        return within[at]

    def level(pin: Act) -> int | None:
        if pin.under is None:
            return None
        found = above.get(pin.under.leaf), covered(pin.under) if _has_revoke(pin) else None
        return min((rank for rank in found if rank is not None), default=None)

    return level


def choose(
    lane: Lane,
    rows: Iterable[Statement],
    grants: Sequence[Authority],
    covers: Callable[[Path], bool],
) -> Choice:
    """
    The branch of a forked lane that stands.

    Cost: O(pins + grants + their branches), and O(grants) for each scope and rank of such pins as
    are made with REVOKE.

    Args:
        lane: The lane.
        rows: What `Pins.counted` gives for it.
        grants: Those to its author that count.
        covers: Whether the tip of a path is within the lane's limit.
    """
    level_by, ranked = levels(grants), []
    for row in rows:
        pin = row.pin
        level = level_by(pin)
        if level is not None and lane.holds(row.seq, row.tip):
            ranked.append((level, pin.rank, pin.id, row))
    ranked.sort(key=lambda item: item[:3])
    choice = Choice()
    for *_, row in ranked:
        selected = choice.path
        if selected is not None and row.seq <= selected.seq:
            # It moves nothing, but what it binds counts up to its tip all the same.
            if lane.is_on(selected, row.seq, row.tip):
                choice.heard.append(row)
            continue
        path = lane.path(row.seq, row.tip)
        assert path is not None, "only held tips are ranked"
        extends = selected is None or lane.is_on(path, selected.seq, selected.id)
        if extends and covers(path):
            choice.path = path
            choice.heard.append(row)
    return choice


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
