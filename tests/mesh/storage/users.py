"""A user whom the modes of files bind, which they do not for root."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


@contextmanager
def bound_by_modes() -> Iterator[None]:
    """Root is nobody in here, but for its saved id, by which it comes back; others stay."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.setresuid(NOBODY, NOBODY, 0)
    except OSError as error:
        pytest.skip(f"root cannot be another user here: {error}")
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def hand_over(folder: Path) -> None:
    """Give *folder* and what is in it to the user that `bound_by_modes` makes of this one."""
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, -1, follow_symlinks=False)


@contextmanager
def closed(path: Path) -> Iterator[None]:
    """*path* lets nobody in, unless modes do not bind."""
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        yield
    finally:
        path.chmod(mode)


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder on a way that every user may go; pytest's own lets in its owner alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        with bound_by_modes():
            is_reached = os.access(folder, os.R_OK | os.X_OK)
        if not is_reached:
            pytest.skip(f"not everybody may go to {folder}")
        yield folder
