"""Every promise has a test that fails when the promise is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.breaks import BREAKS, Break
from tests.mutants.planting import caught_by, has_its_place, plant

PROMISES = {"P1", "P2", "P3", "P4", "P5", "P6", "P7", "one link"}


def test_every_promise_is_broken_somewhere() -> None:
    assert {broken.promise for broken in BREAKS} == PROMISES


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: f"{broken.promise} {broken.name}")
def test_the_code_still_has_the_place(broken: Break) -> None:
    assert has_its_place(broken), f"{broken.path} changed: plant the mistake where it belongs now"


@pytest.mark.slow
@pytest.mark.timeout(1_000)
@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: f"{broken.promise} {broken.name}")
def test_a_broken_promise_is_noticed(
    broken: Break, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(tmp_path, broken)
    tests = caught_by(tmp_path, broken)
    assert tests, f"no test noticed: {broken.name}"
    with capsys.disabled():
        print(f"\n{broken.promise} {broken.name}: {tests[0]}")
