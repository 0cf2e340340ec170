"""A bound on how often the same line is written: a hostile peer must not fill the disk with it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from attrs import define, evolve, field, frozen

from mesh.core.effects import Log

#: Lines of one name in one period; guess: enough to see a pattern.
LINES_PER_PERIOD_MAX: Final = 20
PERIOD_S: Final = 60.0
#: Names that are counted at once; names come from this program's own text, so they are few.
NAMES_MAX: Final = 256


@frozen
class _Count:
    since_s: float
    lines: int


@define(eq=False)
class LogLimiter:
    """Lets the first lines of each name through in every period, and counts the others."""

    lines_max: int = LINES_PER_PERIOD_MAX
    period_s: float = PERIOD_S
    _counts: OrderedDict[str, _Count] = field(factory=OrderedDict)

    def pass_on(self, line: Log, *, now_s: float) -> Log | None:
        """*line*, with the number of those swallowed in the last period, or None."""
        count = self._counts.get(line.event)
        swallowed = 0
        if count is None or now_s - count.since_s >= self.period_s:
            if count is not None:
                swallowed = max(count.lines - self.lines_max, 0)
            count = _Count(now_s, 0)
        count = _Count(count.since_s, count.lines + 1)
        self._counts[line.event] = count
        if len(self._counts) > NAMES_MAX:
            self._counts.popitem(last=False)
        if count.lines > self.lines_max:
            return None
        if swallowed:
            return evolve(line, fields=(*line.fields, ("swallowed_before", swallowed)))
        return line
