"""
A host's two clocks as functions of the world's time: they drift, step and freeze.

The monotonic clock drifts with the wall clock, and neither steps nor freezes. All is integers, so
that a run is the same on every machine.
"""

from __future__ import annotations

from typing import Final

from attrs import define

from mesh.core.inputs import Now

#: 2026-11-20T00:00:00Z in ms: the wall clock of every world at its beginning.
WALL_MS_START: Final = 1_795_132_800_000
_MILLION: Final = 1_000_000


@define
class HostClock:
    """What one host takes for the time."""

    #: The world's time at the last change, and what both clocks showed then, in µs.
    _since_us: int = 0
    _mono_us: int = 0
    _wall_us: int = WALL_MS_START * 1000
    #: Parts per million by which both run fast (or slow, below 0).
    drift_ppm: int = 0
    is_frozen: bool = False
    #: What it showed last, and when: one step asks several times.
    _shown: Now | None = None
    _shown_us: int = 0

    def now(self, at_us: int) -> Now:
        """Both clocks at the world's time *at_us*, which never goes back."""
        if self._shown is None or at_us != self._shown_us:
            passed = self._passed(at_us)
            wall = self._wall_us if self.is_frozen else self._wall_us + passed
            self._shown = Now((self._mono_us + passed) // 1000, wall // 1000)
            self._shown_us = at_us
        return self._shown

    def true_us(self, mono_ms: int) -> int:
        """The first instant of the world at which the monotonic clock shows *mono_ms*."""
        ahead = mono_ms * 1000 - self._mono_us
        at_us = self._since_us + -(-ahead * _MILLION // (_MILLION + self.drift_ppm))
        # The clock rounds down, so it may be a µs or two behind what was asked for.
        while (self._mono_us + self._passed(at_us)) // 1000 < mono_ms:
            at_us += 1
        return at_us

    def drift(self, ppm: int, at_us: int) -> None:
        """From now on run fast by *ppm* millionths."""
        self._settle(at_us)
        self.drift_ppm = ppm

    def step(self, by_ms: int, at_us: int) -> None:
        """Somebody sets the wall clock."""
        self._settle(at_us)
        self._wall_us = max(0, self._wall_us + by_ms * 1000)

    def freeze(self, at_us: int) -> None:
        """The wall clock stands still (a virtual machine that was stopped, a dead battery)."""
        self._settle(at_us)
        self.is_frozen = True

    def thaw(self, at_us: int) -> None:
        """It goes on from where it stood."""
        self._settle(at_us)
        self.is_frozen = False

    def correct(self, at_us: int) -> None:
        """Somebody sets it right: no drift, the world's time."""
        self._settle(at_us)
        self.is_frozen = False
        self.drift_ppm = 0
        self._wall_us = WALL_MS_START * 1000 + at_us

    def _passed(self, at_us: int) -> int:
        passed = at_us - self._since_us
        return passed + passed * self.drift_ppm // _MILLION

    def _settle(self, at_us: int) -> None:
        self._shown = None
        passed = self._passed(at_us)
        self._mono_us += passed
        if not self.is_frozen:
            self._wall_us += passed
        self._since_us = at_us
