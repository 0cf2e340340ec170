"""A sync that fails inside COMMIT, then kill -9: the refused records must not come back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.storage.sqlite import SqliteStore

ROOT = Path(__file__).resolve().parents[3]
SOURCE = Path(__file__).with_name("syncs.c")

CHILD = """
import ctypes, os, sys
from pathlib import Path
from mesh.core.errors import StorageError
from mesh.core.records import PutMeta
from mesh.storage.sqlite import SqliteStore

failing = ctypes.c_int.in_dll(ctypes.CDLL(sys.argv[1]), "failing_syncs")
store = SqliteStore(Path(sys.argv[2]))
store.commit([PutMeta("a", b"1")])
if sys.argv[3] == "unfenced":
    roll_back = SqliteStore._roll_back
    SqliteStore._roll_back = lambda self, *, fenced: roll_back(self, fenced=False)
failing.value = 1
try:
    store.commit([PutMeta("a", b"2"), PutMeta("b", b"x" * 20_000)])
except StorageError as error:
    assert failing.value == 0, failing.value
    assert (store.meta("a"), store.meta("b")) == (b"1", None)
    print(error.message, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("needs Linux and a C compiler")
    built = tmp_path_factory.mktemp("syncs") / "syncs.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", built, SOURCE], check=True)
    return built


def after_failed_sync_and_kill(library: Path, path: Path, how: str) -> bytes | None:
    command = [sys.executable, "-c", CHILD, str(library), str(path), how]
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    child = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert child.returncode == -9, child.stderr
    assert "disk I/O error" in child.stdout
    with SqliteStore(path) as store:
        assert store.check() == []
        return store.meta("a")


def test_refused_commit_stays_refused_after_a_crash(library: Path, tmp_path: Path) -> None:
    assert after_failed_sync_and_kill(library, tmp_path / "mesh.db", "fenced") == b"1"


def test_without_the_fence_it_would_come_back(library: Path, tmp_path: Path) -> None:
    assert after_failed_sync_and_kill(library, tmp_path / "mesh.db", "unfenced") == b"2"
