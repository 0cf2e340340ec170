"""Operations that bring in other trackers' exports."""

from __future__ import annotations

from typing import Final

from mesh.api.context import Operation

OPERATIONS: tuple[Operation, ...] = ()
_ = Final
