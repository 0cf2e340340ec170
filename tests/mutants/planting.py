"""Planting one mistake into a copy of the code, and running tests there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.mutants.breaks import Break
from tests.mutants.stage import COPIED, ROOT

#: The names of failed tests in pytest's summary, without their parameters.
_FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (\S+?)(?:\[.*)?(?: - .*)?$", re.MULTILINE)
#: Tests that hang on the mistake have noticed it, too.
_RUN_S_MAX: Final = 900


def has_its_place(broken: Break) -> bool:
    """Whether the code has the one line that is exchanged."""
    return (ROOT / broken.path).read_text().count(broken.good) == 1


def plant(folder: Path, broken: Break) -> None:
    """Copy the code into *folder* and break it there."""
    assert has_its_place(broken)
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    path = folder / broken.path
    path.write_text(path.read_text().replace(broken.good, broken.bad))


def caught_by(folder: Path, broken: Break) -> list[str]:
    """The first test that fails on what was planted; empty if none does."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *broken.tests],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=_RUN_S_MAX,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return _FAILED.findall(done.stdout)
