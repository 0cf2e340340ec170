"""The only place where `Now` is built: trio's clock for deadlines, the wall's for stamps."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final, TypeAlias

import trio

from mesh.core.inputs import Now

Clock: TypeAlias = Callable[[], Now]

#: For tests: how far this process believes its wall clock to be ahead of the machine's, in ms.
OFFSET_VARIABLE: Final = "MESH_TEST_CLOCK_OFFSET_MS"
_offset_ms: Final = int(os.environ.get(OFFSET_VARIABLE, "0"))


def system_now() -> Now:
    """Both clocks at this instant; only inside of trio, whose clock tests may replace."""
    return Now(mono_ms=int(trio.current_time() * 1000), wall_ms=wall_ms())


def wall_ms() -> int:
    """Milliseconds since 1970, as this machine believes."""
    return time.time_ns() // 1_000_000 + _offset_ms
