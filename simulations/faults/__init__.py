"""All kinds of faults by name; `--faults` and scenarios choose among them."""

from __future__ import annotations

from typing import Final

from simulations.faults.paths import Halves, Isolated
from simulations.faults.processes import Kill
from simulations.strike import Fault

FAULTS: Final[dict[str, Fault]] = {
    "halves": Halves(),
    "isolated": Isolated(),
    "kill": Kill(),
}

__all__ = ["FAULTS"]
