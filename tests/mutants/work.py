"""Running the mutants of one stage: quickly at first, then the survivors one by one in earnest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from tests.mutants.diffs import diffs_of, metas
from tests.mutants.stage import Stage, reached

#: (mutant, what it changes) → whether a person has judged it.
IsJudged: TypeAlias = Callable[[str, str], bool]

SURVIVED: Final = 0
#: A mutant of a function that no test calls while it runs: it may run while a module is loaded.
UNTESTED: Final = 33
#: Of one run of a stage's tests; what takes longer is stuck, so it was noticed.
CONFIRM_S_MAX: Final = 1_800
_MUTMUT: Final = Path(sys.executable).with_name("mutmut")


def run(stage: Stage, *, again: bool, is_judged: IsJudged) -> None:
    """Have mutmut decide what is not decided, or show the unjudged survivors to today's tests."""
    names: list[str] = []
    if again:
        diffs = diffs_of(_generated(stage))
        survivors = [key for key, code in verdicts(stage).items() if code in {SURVIVED, UNTESTED}]
        names = [key for key in survivors if not is_judged(key, diffs[key])]
        if not names:
            return
        confirmed(stage).unlink(missing_ok=True)
    command = [str(_MUTMUT), "run", "--max-children", "1", *names]
    subprocess.run(command, cwd=stage.folder, check=True)


def verdicts(stage: Stage) -> dict[str, int | None]:
    """Mutant → the exit code of the tests under it; None while it has not been tried."""
    found: dict[str, int | None] = {}
    for path in metas(_generated(stage)):
        found |= json.loads(path.read_text())["exit_code_by_key"]
    return found


def confirm(stage: Stage, *, is_judged: IsJudged) -> None:
    """
    Write each survivor into the source; run its module's and all tests that reach it in earnest.

    This is slow, and fair: mutmut switches mutants on only after all is imported, which what runs
    at import does not feel, and its runs try few examples. Those that were judged are spared it.
    """
    known, reaching = read_confirmed(stage), _reaching(stage)
    diffs = diffs_of(_generated(stage))
    for key, code in verdicts(stage).items():
        if code not in {SURVIVED, UNTESTED}:
            continue
        diff = diffs[key]
        row = known.get(key)
        if row is not None and row["diff"] == diff:
            continue
        killed = False
        if not is_judged(key, diff):
            with _applied(stage, key):
                # All cases of a test, even those that were not among the few of the first run.
                tests = {name.partition("[")[0] for name in reaching.get(_function(key), ())}
                killed = _fails(stage, [*_own(stage, key), *sorted(tests)] if reaching else ())
        known[key] = {"diff": diff, "killed": killed}
        confirmed(stage).write_text(json.dumps(known, indent=1))


def confirmed(stage: Stage) -> Path:
    return stage.folder / "confirmed.json"


def read_confirmed(stage: Stage) -> dict[str, Any]:
    path = confirmed(stage)
    return json.loads(path.read_text()) if path.exists() else {}


def _generated(stage: Stage) -> Path:
    return stage.folder / "mutants" / stage.package


@contextmanager
def _applied(stage: Stage, key: str) -> Iterator[None]:
    path = _source(stage, key)
    before, times = path.read_bytes(), path.stat()
    try:
        subprocess.run(
            [str(_MUTMUT), "apply", key], cwd=stage.folder, check=True, capture_output=True
        )
        assert path.read_bytes() != before, f"{key} changed nothing"
        yield
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _source(stage: Stage, key: str) -> Path:
    for meta in metas(_generated(stage)):
        if key in json.loads(meta.read_text())["exit_code_by_key"]:
            return stage.folder / meta.relative_to(stage.folder / "mutants").with_suffix("")
    raise LookupError(key)


def _reaching(stage: Stage) -> dict[str, list[str]]:
    """Function → the tests during which it is called, as mutmut saw them; empty if it has not."""
    path = reached(stage)
    known: dict[str, list[str]] = (
        json.loads(path.read_text())["tests_by_mangled_function_name"] if path.exists() else {}
    )
    return known


def _own(stage: Stage, key: str) -> list[str]:
    """The module's own tests, where the tree of the tests mirrors the code's."""
    source = _source(stage, key).relative_to(stage.folder)
    mirrored = Path("tests", source.parent, f"test_{source.name}")
    return [str(mirrored)] if (stage.folder / mirrored).exists() else []


def _function(key: str) -> str:
    return key.rpartition("__mutmut_")[0]


def _fails(stage: Stage, tests: Sequence[str]) -> bool:
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, *(tests or stage.tests)],
            cwd=stage.folder,
            capture_output=True,
            check=False,
            timeout=CONFIRM_S_MAX,
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0
