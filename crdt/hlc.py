"""
Hybrid logical clock: stamps that order causes before effects and stay near wall time.

A stamp is a plain int, `milliseconds << 16 | counter`, below 2**63, so that comparing ints is
comparing stamps. Adding one carries from the counter into the milliseconds, which is why 65,536
ticks in one millisecond need no special case. Ties between authors are the caller's to break.

**Restart.** A stamp must never be given out twice, even if the wall clock was set back while the
node was down. Two ways, both ending in `restore`:

- The node persists every stamp before anyone sees what it stamps, and restores the greatest one
  of its own. Stamps that were not persisted were not seen, so their repetition harms nobody.
- Where stamps are shown before they are durable, it persists `reserve(...)` first, ticks while
  `covered(...)` holds, reserves anew in time, and restores the last reservation.

Source: Kulkarni, Demirbas, Madappa, Avva, Leone: Logical Physical Clocks and Consistent
    Snapshots in Globally Distributed Databases, 2014, section 3,
    https://cse.buffalo.edu/tech-reports/2014-04.pdf.
    The reservation is CockroachDB's persisted upper bound of wall time,
    `server.clock.persist_upper_bound_interval`.
Differs: `observe` joins without ticking, since the next `tick` adds the one that the paper adds at
    receipt; 48 + 16 bits of a millisecond count instead of an NTP stamp.
"""

from typing import Final

from attrs import define

from crdt.errors import StampError

__all__ = ["COUNTER_BITS", "STAMP_MAX", "Clock", "counter", "milliseconds", "pack"]

COUNTER_BITS: Final = 16
COUNTER_MAX: Final = (1 << COUNTER_BITS) - 1
# Signed 64-bit columns and the codec both end here: the year 6429.
STAMP_MAX: Final = 2**63 - 1


def pack(ms: int, counter: int) -> int:
    """
    The stamp of the *counter*-th event of the millisecond *ms* since 1970.

    Raises:
        StampError: A part is negative or too large for its bits.
    """
    stamp = ms << COUNTER_BITS | counter
    if not (0 <= counter <= COUNTER_MAX and 0 <= stamp <= STAMP_MAX):
        raise StampError(f"ms {ms}, counter {counter} do not fit a stamp of 47 + 16 bits")
    return stamp


def milliseconds(stamp: int) -> int:
    """The wall part of *stamp*, in milliseconds since 1970."""
    return stamp >> COUNTER_BITS


def counter(stamp: int) -> int:
    """The logical part of *stamp*, 0 .. 65535."""
    return stamp & COUNTER_MAX


@define
class Clock:
    """The stamps of one author. It never reads a clock: wall time is an argument."""

    last: int = 0
    reserved: int = 0

    def tick(self, wall_ms: int) -> int:
        """
        A fresh stamp, greater than every stamp ticked, observed or restored before.

        Raises:
            StampError: Stamps are used up, as after observing one near 2**63.
        """
        stamp = max(self.last + 1, wall_ms << COUNTER_BITS)
        if stamp > STAMP_MAX:
            raise StampError(f"next stamp {stamp} exceeds {STAMP_MAX}")
        self.last = stamp
        return stamp

    def observe(self, stamp: int) -> None:
        """
        Take note of another author's *stamp*, so that later ticks exceed it.

        The caller must not pass a stamp that lies beyond its allowed skew: one wrong clock would
        drag every other with it.

        Raises:
            StampError: *stamp* is not in 0 .. 2**63 - 1.
        """
        if not 0 <= stamp <= STAMP_MAX:
            raise StampError(f"observed stamp {stamp} is outside 0 .. {STAMP_MAX}")
        self.last = max(self.last, stamp)

    def reserve(self, wall_ms: int, *, ahead_ms: int) -> int:
        """
        A bound to persist before `covered` is trusted: the ticks of the next *ahead_ms*.

        Longer reservations cost fewer writes; after a restart stamps run ahead of the wall clock
        by at most *ahead_ms*.

        Raises:
            StampError: The bound would exceed 2**63 - 1.
        """
        start = max(self.last, wall_ms << COUNTER_BITS)
        bound = start + (ahead_ms << COUNTER_BITS)
        if not start <= bound <= STAMP_MAX:
            raise StampError(f"reservation up to {bound} is outside {start} .. {STAMP_MAX}")
        self.reserved = max(self.reserved, bound)
        return self.reserved

    def covered(self, wall_ms: int) -> bool:
        """Whether `tick(wall_ms)` would stay within the last reservation."""
        return max(self.last + 1, wall_ms << COUNTER_BITS) <= self.reserved

    def restore(self, upper_bound: int) -> None:
        """
        Start above *upper_bound*, the greatest own stamp or reservation found on disk.

        Raises:
            StampError: *upper_bound* is not in 0 .. 2**63 - 1.
        """
        self.observe(upper_bound)
