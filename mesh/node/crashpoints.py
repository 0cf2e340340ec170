"""
Named places where a test may kill this process, to prove what survives.

`MESH_CRASH_AT=after_commit:3` ends the process by SIGKILL when it reaches `after_commit` for the
third time. Nothing is flushed and no handler runs, exactly as when power to the process fails.
Unset, `reach` is an empty function.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Final

VARIABLE: Final = "MESH_CRASH_AT"
NAMES: Final = (
    "before_engine",
    "after_engine",
    "before_commit",
    "in_commit",
    "after_commit",
    "after_committed",
    "before_send",
    "after_send",
    "before_emit",
    "after_emit",
    "before_reply",
    "after_reply",
    "after_batch",
)


def _nothing(name: str) -> None:
    del name


def parse(setting: str) -> tuple[str, int]:
    """
    The name and count of `name:count`; without a count, the first time.

    Raises:
        ValueError: No such place, or no such count. A crash test that never crashes proves nothing.
    """
    name, _, count = setting.partition(":")
    if name not in NAMES:
        raise ValueError(f"{VARIABLE}={setting!r}: no crash point {name!r}; there are {NAMES}")
    times = int(count or "1")
    if times < 1:
        raise ValueError(f"{VARIABLE}={setting!r}: the count must be at least 1")
    return name, times


def counting_down(
    name: str, times: int, *, die: Callable[[], None] | None = None
) -> Callable[[str], None]:
    """A `reach` that calls *die* when *name* is reached for the *times*-th time."""
    left = times

    def reach(here: str) -> None:
        nonlocal left
        if here == name:
            left -= 1
            if left == 0:
                (die or _kill)()

    return reach


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


_setting = os.environ.get(VARIABLE, "")
reach: Final[Callable[[str], None]] = counting_down(*parse(_setting)) if _setting else _nothing
is_armed: Final = bool(_setting)
