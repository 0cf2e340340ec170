"""Ten minutes of the fuzzer for every target: nothing is found."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import pytest

from tests.fuzz.target import MODULES, ROOT

TALLY: Final = ROOT / ".slow" / "fuzz.jsonl"
#: Of each target. A shorter run in parts may ask for less: `FUZZ_SECONDS=60`.
SECONDS: Final = int(os.environ.get("FUZZ_SECONDS", "600"))


def tallied() -> list[dict[str, Any]]:
    return [json.loads(line) for line in TALLY.read_text().splitlines()] if TALLY.exists() else []


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_found(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Resumable: a target that is done is not run again before all are."""
    pytest.importorskip("atheris", reason="pip install 'worknode-mesh[fuzz]'")
    from tests.fuzz.campaign import campaign

    if name in {row["target"] for row in tallied()}:
        pytest.skip("done before, see .slow/fuzz.jsonl")
    # What is new goes beside the tally, not among what is kept.
    tally = campaign(name, Path(TALLY.parent, "corpus", name), seconds=SECONDS)
    with capsys.disabled():
        print(f"\n{tally.line()}")
    assert not tally.finding, f"{tally.finding}\n{tally.words}"
    TALLY.parent.mkdir(exist_ok=True)
    row = {
        "target": name,
        "executions": tally.executions,
        "cpu_s": round(tally.cpu_s),
        "edges": tally.edges,
    }
    with TALLY.open("a") as file:
        file.write(json.dumps(row) + "\n")
    if {row["target"] for row in tallied()} == set(MODULES):
        # The next run begins anew.
        TALLY.unlink()
