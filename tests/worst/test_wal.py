"""Damage in the write-ahead log: before the last acknowledged fsync, and after it."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.core.errors import StorageError
from mesh.storage.sqlite import SqliteStore
from mesh.storage.wal import heal, lost_commits, wal_of

COMMITS = 60
CHILD = f"""
import os, sys
from pathlib import Path
from mesh.core.records import PutMeta
from mesh.storage.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]))
for number in range({COMMITS}):
    store.commit([PutMeta(f"{{number:03}}", b"x" * 1_000)])
os.kill(os.getpid(), {signal.SIGKILL:d})
"""
FRAME = 24 + 4096
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The two files of a process that was killed after its last commit."""
    path = tmp_path_factory.mktemp("killed") / "mesh.db"
    child = subprocess.run([sys.executable, "-c", CHILD, str(path)], cwd=ROOT, check=False)
    assert child.returncode == -signal.SIGKILL
    return path.read_bytes(), wal_of(path).read_bytes()


def lay(folder: Path, killed: tuple[bytes, bytes]) -> Path:
    path = folder / f"{os.urandom(4).hex()}.db"
    path.write_bytes(killed[0])
    wal_of(path).write_bytes(killed[1])
    return path


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :]


def test_whole_log_is_not_suspected(tmp_path: Path, killed: tuple[bytes, bytes]) -> None:
    path = lay(tmp_path, killed)
    assert lost_commits(path) == 0
    with SqliteStore(path) as store:
        assert store.meta(f"{COMMITS - 1:03}") is not None


@pytest.mark.parametrize("where", ["magic", "salt", "page", "frame salt", "checksum", "data"])
def test_damage_before_the_last_commit_is_named(
    tmp_path: Path, killed: tuple[bytes, bytes], where: str
) -> None:
    frame = 32 + 10 * FRAME
    at = {"magic": 2, "salt": 18, "page": 9}.get(where)
    if at is None:
        at = frame + {"frame salt": 9, "checksum": 20, "data": 24 + 1_000}[where]
    path = lay(tmp_path, (killed[0], flipped(killed[1], at)))
    with pytest.raises(StorageError) as caught:
        SqliteStore(path)
    assert "the write-ahead log is damaged before" in caught.value.message
    assert "mesh doctor --repair" in caught.value.hint
    assert wal_of(path).read_bytes() == flipped(killed[1], at), "nothing was changed"


def test_without_the_look_sqlite_loses_them_silently(
    tmp_path: Path, killed: tuple[bytes, bytes]
) -> None:
    path = lay(tmp_path, (killed[0], flipped(killed[1], 32 + 100 * FRAME + 500)))
    connection = sqlite3.connect(path)
    (left,) = connection.execute("SELECT count(*) FROM meta").fetchone()
    connection.close()
    assert left < COMMITS


def test_healed_copy_has_every_commit(tmp_path: Path, killed: tuple[bytes, bytes]) -> None:
    source = random.Random(11)
    for _ in range(20):
        path = lay(tmp_path, (killed[0], flipped(killed[1], source.randrange(len(killed[1])))))
        heal(path)
        connection = sqlite3.connect(path)
        (left,) = connection.execute("SELECT count(*) FROM meta").fetchone()
        connection.close()
        assert left == COMMITS


@pytest.mark.parametrize("torn", [1, 2_000, FRAME + 1])
def test_torn_tail_of_an_unacknowledged_commit_is_no_damage(
    tmp_path: Path, killed: tuple[bytes, bytes], torn: int
) -> None:
    path = lay(tmp_path, (killed[0], killed[1][:-torn] + b"\0" * torn))
    assert lost_commits(path) == 0
    with SqliteStore(path) as store:
        assert store.meta(f"{COMMITS - 2:03}") is not None
