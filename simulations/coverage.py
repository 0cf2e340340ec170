"""
Which faults have met which checkers, and how often.

A fault has met a checker when the checker has made a judgement, one that could have failed, after
the fault took effect. Of a kind that befalls each message, occurrences with no check between them
count once: what nobody looked at has shown nothing. Tallies of runs are added; `lacking` says what
was met too seldom.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import define, field

from simulations.watch import Watcher

if TYPE_CHECKING:
    from simulations.checkers import Checker


@define(eq=False)
class Coverage(Watcher):
    """Counts the meetings of one run."""

    checkers: Sequence[Checker]
    #: By kind: what each checker had checked when the kind last took effect.
    _since: dict[str, list[int]] = field(factory=dict)
    _met: Counter[str] = field(factory=Counter)

    def befell(self, what: str) -> None:
        now = [checker.checks for checker in self.checkers]
        since = self._since.setdefault(what, now)
        if since is not now:
            self._meet(what, since, now)
            self._since[what] = now

    def _meet(self, what: str, since: Sequence[int], now: Sequence[int]) -> None:
        for checker, before, after in zip(self.checkers, since, now, strict=True):
            if after > before:
                self._met[key(what, checker.NAME)] += 1

    def tally(self) -> dict[str, int]:
        """The meetings so far, by `key`."""
        found = Counter(self._met)
        for what, since in self._since.items():
            for checker, before in zip(self.checkers, since, strict=True):
                if checker.checks > before:
                    found[key(what, checker.NAME)] += 1
        return dict(sorted(found.items()))


def key(fault: str, checker: str) -> str:
    """How a tally names a fault and a checker that have met."""
    return f"{fault} × {checker}"


def merged(tallies: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of the tallies of several runs."""
    total: Counter[str] = Counter()
    for tally in tallies:
        total.update(tally)
    return dict(sorted(total.items()))


def lacking(
    tally: Mapping[str, int], *, faults: Iterable[str], checkers: Iterable[str], least: int
) -> dict[str, int]:
    """The pairs that have met less than *least* times, with how often they have."""
    names = list(checkers)
    pairs = (key(fault, checker) for fault in faults for checker in names)
    return {pair: tally.get(pair, 0) for pair in pairs if tally.get(pair, 0) < least}
