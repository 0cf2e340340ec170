"""Homes that cannot be looked into, or in which something is in the way: what, and what to do."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.core.errors import StorageError
from mesh.storage.errors import HomeInUse, HomeRefused
from mesh.storage.home import Home, default_home
from mesh.storage.keyfile import read_key
from tests.mesh.storage.users import NOBODY, bound_by_modes, closed, hand_over, open_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as found:
        yield found


@pytest.fixture
def theirs(folder: Path) -> Home:
    """A home of the user that modes bind."""
    home = Home.create(folder / "home")
    hand_over(home.path)
    return home


# ---- paths that name no folder


def test_a_home_is_shown_by_the_path_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert repr(Home(tmp_path / "link")) == f"Home('{tmp_path.resolve()}/real')"


@pytest.mark.parametrize("below", [".", "home"])
def test_links_in_a_circle_are_refused_by_name(tmp_path: Path, below: str) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(HomeRefused, match=r"to no folder: Symlink loop|Too many levels") as caught:
        Home.open(tmp_path / "a" / below)
    assert str(tmp_path / "a") in caught.value.message
    assert "choose another --home" in caught.value.hint


def test_the_folder_of_a_user_that_is_not_there_is_refused() -> None:
    with pytest.raises(HomeRefused) as caught:
        Home(Path("~no-such-user-here/mesh"))
    assert caught.value.message.startswith("~no-such-user-here/mesh leads to no folder: ")
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_user_without_a_folder_is_told_to_name_one(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    def no_folder() -> Path:
        raise RuntimeError("Could not determine home directory.")

    # As for a container's user that no table lists, when HOME is not set.
    monkeypatch.setattr(Path, "home", no_folder)
    monkeypatch.setattr(sys, "platform", platform)
    for name in ("MESH_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(HomeRefused, match=f"user {os.geteuid()} has no folder") as caught:
        default_home()
    assert caught.value.hint == "name one: --home or MESH_HOME"
    monkeypatch.setenv("MESH_HOME", "/somewhere")
    assert default_home() == Path("/somewhere")


def test_a_name_that_is_too_long_is_no_matter_of_who_one_is(tmp_path: Path) -> None:
    home = Home(tmp_path / ("x" * 300))
    with pytest.raises(HomeRefused, match="cannot be looked into: File name too long") as caught:
        Home.open(home.path)
    assert str(home.path) in caught.value.message
    assert "see that the path is right" in caught.value.hint
    assert "run as" not in caught.value.hint


# ---- folders that another user closed


def test_a_closed_home_is_not_said_to_be_empty(theirs: Home) -> None:
    with closed(theirs.path):
        owner = theirs.path.stat().st_uid
        with bound_by_modes(), pytest.raises(HomeRefused) as caught:
            Home.open(theirs.path)
    assert caught.value.message.endswith(f"may not look into {theirs.path}: Permission denied")
    assert caught.value.hint == f"run as its owner, user {owner}, or choose another --home"
    with bound_by_modes():
        assert Home.open(theirs.path).seed()


def test_the_first_closed_folder_on_the_way_is_named(folder: Path) -> None:
    between = folder / "closed"
    between.mkdir()
    home = Home.create(between / "home")
    with closed(between):
        owner = between.stat().st_uid
        with bound_by_modes(), pytest.raises(HomeRefused) as caught:
            Home.open(home.path)
    assert f"may not look into {home.path}, nor {between}: " in caught.value.message
    assert f"run as its owner, user {owner}, " in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users at once")
def test_a_program_of_another_user_that_root_runs_does_not_name_a_wrong_owner(
    folder: Path,
) -> None:
    """Its real id may enter, its effective one may not: whose it is cannot be looked up."""
    (folder / "closed").mkdir()
    path = folder / "closed" / "home"
    with closed(folder / "closed"):
        os.seteuid(NOBODY)
        try:
            with pytest.raises(HomeRefused) as caught:
                Home.open(path)
        finally:
            os.seteuid(0)
    assert caught.value.message == f"user {NOBODY} may not look into {path}: Permission denied"
    assert caught.value.hint == "run as its owner, or choose another --home"


def test_a_lock_that_another_user_made_is_named_and_left(theirs: Home) -> None:
    """As after `sudo mesh up` on one's own home."""
    if os.geteuid() == 0:
        os.chown(theirs.lock_path, 0, 0)
    with closed(theirs.lock_path), bound_by_modes(), pytest.raises(StorageError) as caught:
        theirs.lock()
    path = theirs.lock_path
    assert caught.value.message == f"{path}: cannot open the lock: Permission denied"
    assert f"`ls -ld {path}`" in caught.value.hint
    assert "chown" in caught.value.hint
    hand_over(theirs.path)
    with bound_by_modes():
        theirs.lock().release()


def test_a_closed_runtime_folder_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `su`, which leaves XDG_RUNTIME_DIR as it was."""
    runtime = folder / "r"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    home = Home(folder / ("a-long-name" * 10))
    if home.socket_path.parent.parent != runtime:
        pytest.skip(f"the temporary folder has too long a name: {folder}")
    with closed(runtime), bound_by_modes():
        with pytest.raises(StorageError) as caught:
            home.find_socket()
        with pytest.raises(StorageError, match="cannot prepare the socket's folder: Permission"):
            home.prepare_socket_folder()
    expected = f"{runtime}/worknode-mesh: cannot look for the socket: Permission denied"
    assert caught.value.message == expected
    assert str(runtime) in caught.value.hint
    assert home.find_socket() is None


# ---- things in the way


def test_a_file_in_place_of_the_sockets_folder_is_named_and_left(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home")
    (home.path / "run").write_bytes(b"mine")
    with pytest.raises(StorageError, match="cannot prepare the socket's folder") as caught:
        home.prepare_socket_folder()
    assert caught.value.hint.startswith(f"{home.path / 'run'} is in the way: move it away")
    assert (home.path / "run").read_bytes() == b"mine"


def test_a_folder_in_place_of_the_socket_is_named_and_left(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home")
    home.socket_path.mkdir(parents=True)
    home.socket_path.parent.chmod(0o700)
    (home.socket_path / "mine").touch()
    with pytest.raises(StorageError) as caught:
        home.prepare_socket_folder()
    assert str(home.socket_path.parent) in caught.value.message
    assert (home.socket_path / "mine").exists()


def test_a_folder_in_place_of_the_lock_is_named(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home")
    home.lock_path.unlink()
    home.lock_path.mkdir()
    with pytest.raises(StorageError, match="cannot open the lock: Is a directory") as caught:
        home.lock()
    assert caught.value.hint.startswith(f"{home.lock_path} is in the way: move it away")


def test_a_file_on_the_way_to_the_home_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot make the folder") as caught:
        Home.create(tmp_path / "file" / "home")
    assert caught.value.hint.startswith(f"{tmp_path / 'file'} is in the way: move it away")


def test_a_folder_that_goes_while_it_is_looked_at_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.create(tmp_path / "home")

    def look_then_remove(self: Home) -> bool:
        shutil.rmtree(self.path)
        return True

    monkeypatch.setattr(Home, "exists", property(look_then_remove))
    with pytest.raises(StorageError, match="cannot look at the folder: No such file") as caught:
        Home.open(home.path)
    assert str(home.path) in caught.value.message


# ---- a disk that takes no lock


def test_a_lock_that_the_disk_refuses_is_given_back(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python ignores SIGXFSZ, so the process number cannot be written, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(StorageError) as caught:
            home.lock()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not isinstance(caught.value, HomeInUse)
    assert caught.value.message.startswith(f"{home.lock_path}: cannot lock the home: ")
    assert "its disk has space" in caught.value.hint
    with home.lock():
        assert home.lock_path.read_text() == f"{os.getpid()}\n"
    assert read_key(home.key_path) == home.seed()
