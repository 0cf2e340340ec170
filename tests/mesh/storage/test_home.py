from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.core.errors import StorageError
from mesh.storage import home as home_module
from mesh.storage.errors import HomeExists, HomeInUse, HomeMissing, HomeRefused
from mesh.storage.home import SOCKET_PATH_BYTES_MAX, Home, default_home
from mesh.storage.keyfile import read_key

LOCK_AND_WAIT = (
    "import sys, time; from pathlib import Path; from mesh.storage.home import Home;"
    "lock = Home(Path(sys.argv[1])).lock(); print('locked', flush=True); time.sleep(60)"
)
LONG = "a-folder-with-a-long-name-" * 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_created_home_is_private_and_has_an_identity(path: Path) -> None:
    home = Home.create(path)
    assert mode_of(path) == 0o700
    assert mode_of(home.key_path) == 0o600
    assert Home.open(path).seed() == home.seed() == read_key(path / "identity.key")


def test_parents_are_made_but_only_the_home_is_closed(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        Home.create(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "a" / "b") == 0o700
    assert mode_of(tmp_path / "a") == 0o755


def test_empty_private_folder_becomes_a_home(path: Path) -> None:
    path.mkdir(mode=0o700)
    Home.create(path)


def test_second_create_is_refused_and_keeps_the_identity(path: Path) -> None:
    seed = Home.create(path).seed()
    with pytest.raises(HomeExists) as caught:
        Home.create(path)
    assert caught.value.exit_code == 4
    assert Home.open(path).seed() == seed


def test_open_without_a_node_is_refused(path: Path) -> None:
    for _ in range(2):
        with pytest.raises(HomeMissing) as caught:
            Home.open(path)
        assert caught.value.exit_code == 3
        assert "mesh init" in caught.value.hint
        path.mkdir(exist_ok=True)


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
def test_folder_open_to_others_is_refused_with_the_remedy(path: Path, mode: int) -> None:
    Home.create(path)
    path.chmod(mode)
    with pytest.raises(HomeRefused) as caught:
        Home.open(path)
    assert caught.value.hint == f"chmod 700 {path.resolve()}"
    (path / "identity.key").unlink()
    with pytest.raises(HomeRefused):
        Home.create(path)


def test_folder_of_somebody_else_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Home.create(path)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(HomeRefused, match="belongs to user"):
        Home.open(path)


def test_file_in_its_place_is_a_named_error(path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises((HomeRefused, StorageError), match=str(path)):
        Home.create(path)
    with pytest.raises(StorageError, match="cannot make the folder"):
        Home.create(path / "below")


def test_home_behind_a_link_is_the_same_home(path: Path, tmp_path: Path) -> None:
    Home.create(path)
    (tmp_path / "link").symlink_to(path)
    assert Home.open(tmp_path / "link").path == Home.open(path).path


# ---- lock


def lock_elsewhere(path: Path) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-c", LOCK_AND_WAIT, str(path)], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"locked\n"
    return child


def test_second_process_is_refused_until_the_first_is_killed(path: Path) -> None:
    home = Home.create(path)
    with lock_elsewhere(path) as child:
        try:
            with pytest.raises(HomeInUse) as caught:
                home.lock()
            assert caught.value.message == f"{home.path} is in use by process {child.pid}"
            assert "mesh down" in caught.value.hint
            assert caught.value.exit_code == 4
        finally:
            child.kill()
        child.wait()
        with home.lock():
            assert home.lock_path.read_text() == f"{os.getpid()}\n"


def test_lock_is_refused_within_one_process_too_and_released(path: Path) -> None:
    home = Home.create(path)
    with home.lock() as lock:
        with pytest.raises(HomeInUse):
            home.lock()
        lock.release()
        lock.release()
        home.lock().release()


def test_lock_is_not_inherited_by_a_program_that_is_started(path: Path) -> None:
    home = Home.create(path)
    with (
        home.lock() as lock,
        subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL) as child,
    ):
        try:
            lock.release()
            home.lock().release()
        finally:
            child.kill()


def test_link_in_place_of_the_lock_is_not_followed(path: Path, tmp_path: Path) -> None:
    home = Home.create(path)
    home.lock_path.unlink()
    home.lock_path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="cannot open the lock"):
        home.lock()
    assert not (tmp_path / "elsewhere").exists()


# ---- socket


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def test_socket_stands_in_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert Home(Path("/home/alice/mesh")).socket_path == Path("/home/alice/mesh/run/node.sock")


def test_longest_home_still_has_its_socket_inside() -> None:
    base = "/h/" + "x" * (SOCKET_PATH_BYTES_MAX - len("/h/") - len("/run/node.sock"))
    assert Home(Path(base)).socket_path == Path(base + "/run/node.sock")
    assert Home(Path(base + "x")).socket_path.parent != Path(base + "x/run")


def test_long_home_has_its_socket_in_the_runtime_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    one = Home(tmp_path / LONG)
    assert one.socket_path.parent == Path("/run/user/7/worknode-mesh")
    assert one.socket_path == Home(tmp_path / LONG).socket_path
    assert one.socket_path != Home(tmp_path / (LONG + "b")).socket_path


@pytest.mark.parametrize("runtime", [None, "", "relative", "/" + "r" * 100])
def test_without_a_usable_runtime_folder_it_is_below_tmp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str | None
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    if runtime is not None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    path = Home(tmp_path / LONG).socket_path
    assert path.parent == Path(f"/tmp/worknode-mesh-{os.geteuid()}")
    assert len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX


def test_socket_can_be_bound_again_after_a_crash_and_is_found(path: Path) -> None:
    home = Home.create(path)
    assert home.find_socket() is None
    for _ in range(2):
        prepared = home.prepare_socket_folder()
        bind(prepared)
        assert home.find_socket() == prepared
    assert mode_of(prepared.parent) == 0o700


def test_long_home_can_be_bound(short_runtime: Path, tmp_path: Path) -> None:
    home = Home.create(tmp_path / LONG)
    bind(home.prepare_socket_folder())
    assert home.find_socket() == home.socket_path
    assert home.socket_path.parent == short_runtime / "worknode-mesh"


@pytest.fixture
def short_runtime(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("r")
    if len(str(folder)) > 60:
        pytest.skip(f"the temporary folder has too long a name: {folder}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder


def test_client_in_another_environment_finds_the_socket(
    short_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The node ran without XDG_RUNTIME_DIR, as a service does; /tmp is exchanged for the test.
    fallback = short_runtime / "tmp"
    home = Home.create(tmp_path / LONG)
    paths = home._socket_paths()
    monkeypatch.setattr(Home, "_socket_paths", lambda _: [paths[0], fallback / paths[1].name])
    fallback.mkdir(mode=0o700)
    bind(fallback / paths[1].name)
    assert home.find_socket() == fallback / paths[1].name


@pytest.mark.parametrize("trap", ["open", "link", "foreign"])
def test_socket_folder_that_others_prepared_is_refused(
    short_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    home = Home.create(tmp_path / LONG)
    folder = short_runtime / "worknode-mesh"
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    if trap == "link":
        folder.symlink_to(real)
    else:
        folder.mkdir(mode=0o700)
    bind(folder / home.socket_path.name)
    if trap == "open":
        folder.chmod(0o777)
    elif trap == "foreign":
        monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(HomeRefused):
        home.find_socket()
    with pytest.raises(HomeRefused):
        home.prepare_socket_folder()


# ---- default


def test_default_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_module.sys, "platform", "linux")
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setenv("MESH_HOME", "/somewhere")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_home() == Path("/somewhere")
    monkeypatch.setenv("MESH_HOME", "")
    assert default_home() == Path("/data/worknode-mesh")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert default_home() == Path("/home/alice/.local/share/worknode-mesh")
    monkeypatch.setattr(home_module.sys, "platform", "darwin")
    assert default_home() == Path("/home/alice/Library/Application Support/worknode-mesh")


def test_home_is_light_to_import() -> None:
    code = (
        "import sys; from mesh.storage import Home, default_home;"
        "heavy = {'trio', 'nacl', 'attrs', 'attr', 'sqlite3', 'socket', 'msgpack', 'subprocess'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
