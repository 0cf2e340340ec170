"""Ten minutes of the fuzzer for every target: nothing is found."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve

from tests.fuzz.campaign import campaign
from tests.fuzz.target import MODULES, ROOT

TALLY: Final = ROOT / ".slow" / "fuzz.jsonl"
#: Of each target, of CPU time. A shorter look may ask for less: `FUZZ_SECONDS=60`.
SECONDS: Final = int(os.environ.get("FUZZ_SECONDS", "600"))


def tallied() -> list[dict[str, Any]]:
    return [json.loads(line) for line in TALLY.read_text().splitlines()] if TALLY.exists() else []


@pytest.mark.slow
@pytest.mark.timeout(4 * SECONDS + 120)
@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_found(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Resumable: a target that is done is not run again before all are."""
    if find_spec("atheris") is None:
        pytest.skip("there is no atheris here: pip install 'worknode-mesh[fuzz]'")
    if name in {row["target"] for row in tallied()}:
        pytest.skip("done before, see .slow/fuzz.jsonl")
    # What is new goes beside the tally, not among what is kept.
    corpus = Path(TALLY.parent, "corpus", name)
    executions, cpu_s = 0, 0.0
    while True:
        tally = campaign(name, corpus, seconds=max(int(SECONDS - cpu_s), 5))
        executions, cpu_s = executions + tally.executions, cpu_s + tally.cpu_s
        assert not tally.finding, f"{tally.finding}\n{tally.words}"
        if cpu_s >= SECONDS:
            break
    tally = evolve(tally, executions=executions, cpu_s=cpu_s)
    with capsys.disabled():
        print(f"\n{tally.line()}")
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
