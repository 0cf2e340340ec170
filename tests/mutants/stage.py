"""Where one package is mutated: a copy of the code beside the settings of mutmut."""

from __future__ import annotations

import filecmp
import shutil
import sys
from pathlib import Path
from typing import Final

from attrs import frozen

ROOT: Final = Path(__file__).resolve().parents[2]
#: Ignored by git, kept by `make clean`: what is in it took hours.
STAGES: Final = ROOT / ".mutants"
COPIED: Final = ("crdt", "capability", "mesh", "cli", "simulations", "tests")


@frozen
class Stage:
    """
    A package, and the tests that answer for it.

    Only the package's own tests: what the tests of a node would notice days later is still a gap.
    """

    package: str
    tests: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return STAGES / self.package.replace("/", "-")


STAGES_OF: Final = {
    stage.package: stage
    for stage in (
        Stage("crdt", ("tests/crdt",)),
        Stage("capability", ("tests/capability", "tests/vectors")),
        Stage("mesh/replica", ("tests/mesh/replica",)),
    )
}

# What a `raise` says is for people: its words are read in review, not compared by tests.
# On a busy machine a quick test takes seconds, and what takes too long is said to be noticed.
_SETTINGS: Final = """
[tool.mutmut]
source_paths = ["crdt", "capability", "mesh", "cli", "simulations"]
only_mutate = ["{package}/*"]
do_not_mutate_patterns = ['^\\s*raise ']
also_copy = ["mypy.ini"]
pytest_add_cli_args_test_selection = [{tests}]
pytest_add_cli_args = ["--hypothesis-profile=few", "-p", "no:cacheprovider"]
timeout_multiplier = 10.0
timeout_constant = 10.0
type_check_command = [
  "{python}", "-m", "mypy", "{package}", "--output=json", "--config-file=mypy.ini"
]
use_git_change_detection = false
on_dependency_change = "ignore"
"""

# The project's own, but for the rules that the generated code itself breaks.
_TYPES: Final = """
[mypy]
strict = true
python_version = 3.11
warn_unused_ignores = false
enable_error_code = redundant-expr, truthy-bool
"""


def prepare(stage: Stage) -> None:
    """Bring the stage up to the code as it is; verdicts on functions that are the same stay."""
    stage.folder.mkdir(parents=True, exist_ok=True)
    differ = [_copy(ROOT / name, stage.folder / name) for name in COPIED]
    if any(differ):
        # Of tests that it knows mutmut does not look again at what they call.
        reached(stage).unlink(missing_ok=True)
    tests = ", ".join(f'"{test}"' for test in stage.tests)
    settings = _SETTINGS.format(package=stage.package, tests=tests, python=sys.executable)
    _write(stage.folder / "pyproject.toml", (ROOT / "pyproject.toml").read_text() + settings)
    _write(stage.folder / "mypy.ini", _TYPES)


def reached(stage: Stage) -> Path:
    """Which functions each test calls, as mutmut has seen it."""
    return stage.folder / "mutants" / "mutmut-stats.json"


def _copy(source: Path, target: Path) -> bool:
    """
    Copy what differs: mutmut makes mutants anew of files that are newer than these.

    Returns:
        Whether anything did.
    """
    kept, differs = set(), False
    for path in sorted(source.rglob("*")):
        if path.is_dir() or "__pycache__" in path.parts:
            continue
        copy = target / path.relative_to(source)
        kept.add(copy)
        if not copy.exists() or not filecmp.cmp(path, copy, shallow=False):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            differs = True
    for path in sorted(target.rglob("*.py")):
        if path not in kept:
            path.unlink()
            differs = True
    return differs


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
