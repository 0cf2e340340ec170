"""Plans that found something once find nothing now, and do the same under any order of hashes."""

import subprocess
import sys
from pathlib import Path

import pytest

from simulations.regressions import REGRESSIONS, Regression
from simulations.run import simulate

ROOT = Path(__file__).parent.parent.parent
SCRIPT = """
from simulations.regressions import REGRESSIONS
from simulations.run import simulate
for regression in REGRESSIONS:
    print(simulate(regression.plan).trace_hash)
"""


@pytest.fixture(scope="module")
def elsewhere() -> list[str]:
    """Trace hashes of all plans in another process, under another order of hashes."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env={"PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize("number", range(len(REGRESSIONS)))
def test_a_plan_that_found_something_finds_nothing_now(number: int, elsewhere: list[str]) -> None:
    regression: Regression = REGRESSIONS[number]
    result = simulate(regression.plan)
    assert result.violations == (), regression.found
    assert result.trace_hash == elsewhere[number]
