from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.core.errors import LocalError, StorageError
from mesh.storage import keyfile
from mesh.storage.errors import HomeExists, KeyFileRefused
from mesh.storage.keyfile import create_key, read_key
from tests.mesh.storage.users import bound_by_modes, closed, open_folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "identity.key"


def refusal(path: Path) -> KeyFileRefused:
    with pytest.raises(KeyFileRefused) as caught:
        read_key(path)
    assert isinstance(caught.value, LocalError)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value


def test_key_comes_back(path: Path) -> None:
    seed = create_key(path)
    assert len(seed) == 32
    assert read_key(path) == seed


def test_two_keys_differ(tmp_path: Path) -> None:
    assert create_key(tmp_path / "a") != create_key(tmp_path / "b")


def test_bytes_of_the_file_are_frozen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", lambda count: bytes(range(count)))
    create_key(path)
    expected = b"WNMKEY\r\n" + b"\x01\x00" + bytes(range(32)) + bytes.fromhex("50660929")
    assert path.read_bytes() == expected


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o377])
def test_file_is_private_whatever_the_umask(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        create_key(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_existing_key_is_never_overwritten(path: Path) -> None:
    seed = create_key(path)
    with pytest.raises(HomeExists):
        create_key(path)
    assert read_key(path) == seed
    assert list(path.parent.iterdir()) == [path]


def test_dangling_link_in_its_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HomeExists):
        create_key(path)
    assert not (tmp_path / "elsewhere").exists()


def test_what_a_crash_left_is_replaced(path: Path) -> None:
    path.with_name(".identity.key.new").write_bytes(b"half a k")
    create_key(path)
    assert list(path.parent.iterdir()) == [path]


def test_name_appears_only_after_the_bytes_are_synced(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, link = os.fsync, os.link

    def note_fsync(handle: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def note_link(*args: object, **options: object) -> None:
        steps.append("link")
        link(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "link", note_link)
    create_key(path)
    assert steps == ["file", "link", "folder"]


def test_full_disk_leaves_no_key(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda handle, data: 7)
    with pytest.raises(StorageError, match="No space") as caught:
        create_key(path)
    assert str(path) in caught.value.message
    assert not list(path.parent.iterdir()), "nor a part of one"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o620, 0o601, 0o666])
def test_mode_open_to_others_is_refused_with_the_remedy(path: Path, mode: int) -> None:
    create_key(path)
    path.chmod(mode)
    error = refusal(path)
    assert error.hint == f"chmod 600 {path}"
    assert f"{mode:o}" in error.message


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_mode_private_to_the_owner_is_accepted(path: Path, mode: int) -> None:
    seed = create_key(path)
    path.chmod(mode)
    assert read_key(path) == seed


def test_foreign_owner_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_key(path)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert "belongs to user" in refusal(path).message


def test_symbolic_link_is_refused(path: Path, tmp_path: Path) -> None:
    create_key(tmp_path / "real")
    path.symlink_to(tmp_path / "real")
    assert "symbolic link" in refusal(path).message


def test_missing_folder_and_pipe_are_refused(path: Path) -> None:
    assert "does not exist" in refusal(path).message
    os.mkfifo(path, 0o600)
    assert "not a regular file" in refusal(path).message
    path.unlink()
    path.mkdir(mode=0o700)
    assert "not a regular file" in refusal(path).message


@pytest.mark.parametrize("size", [0, 7, 8, 9, 10, 45, 47, 10_000])
def test_wrong_size_is_refused(path: Path, size: int) -> None:
    create_key(path)
    data = path.read_bytes().ljust(size, b"\0")[:size]
    path.write_bytes(data)
    refusal(path)


def test_every_flipped_bit_is_refused_and_no_message_shows_the_seed(path: Path) -> None:
    seed = create_key(path)
    data = path.read_bytes()
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        error = refusal(path)
        assert seed.hex() not in error.message + error.hint
        assert repr(seed) not in error.message + error.hint


@pytest.mark.parametrize(("version", "kdf"), [(2, 0), (1, 1)])
def test_newer_format_says_upgrade(path: Path, version: int, kdf: int) -> None:
    create_key(path)
    path.write_bytes(keyfile.MAGIC + bytes((version, kdf)) + b"encrypted" * 20)
    assert "upgrade" in refusal(path).hint


def test_key_that_may_not_be_read_is_named_and_kept() -> None:
    with open_folder() as folder:
        path = folder / "identity.key"
        seed = create_key(path)
        with closed(path), bound_by_modes(), pytest.raises(StorageError) as caught:
            read_key(path)
        assert caught.value.message == f"{path}: cannot open the key: Permission denied"
        assert caught.value.hint == f"see that {path} is yours and that you may read it"
        assert read_key(path) == seed


def test_disk_that_fails_while_the_key_is_read_is_no_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = create_key(path)
    handles: list[int] = []

    def fail(handle: int, _count: int) -> bytes:
        handles.append(handle)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch, pytest.raises(StorageError) as caught:
        patch.setattr(os, "read", fail)
        read_key(path)
    assert caught.value.message == f"{path}: cannot read the key: {os.strerror(errno.EIO)}"
    assert "system's log" in caught.value.hint
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(handles[0])
    assert read_key(path) == seed


def test_core_dumps_are_off_for_good() -> None:
    code = (
        "import resource; from mesh.storage.keyfile import disable_core_dumps as off;"
        "off(); off(); assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
