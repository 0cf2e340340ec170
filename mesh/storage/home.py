"""
One node's folder: where everything stands, who may touch it, and that only one process runs on it.

    identity.key   the key, 0600       mesh.db    the log and its companions
    node.lock      held while running  node.log   for the operator
    run/node.sock  where commands reach the running node

The command line imports this module at start: nothing heavier than the standard library in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from mesh.core.errors import StorageError
from mesh.storage.errors import HomeExists, HomeInUse, HomeMissing, HomeRefused
from mesh.storage.keyfile import create_key, read_key, sync_folder

NAME: Final = "worknode-mesh"
#: Longest path of a Unix socket in bytes: 104 on macOS, 108 on Linux, both with a zero at the end.
#: The smaller one, so that a home has its socket at the same place on both.
SOCKET_PATH_BYTES_MAX: Final = 103

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_LOCK_BYTES_MAX: Final = 32


def default_home() -> Path:
    """`MESH_HOME` if it is set, else the user's data folder of the platform."""
    named = os.environ.get("MESH_HOME")
    if named:
        return Path(named)
    if sys.platform == "darwin":
        return _user_folder() / "Library" / "Application Support" / NAME
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    # The specification says that a relative path is to be ignored.
    return (data if data.is_absolute() else _user_folder() / ".local" / "share") / NAME


def _user_folder() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        # A container may run as a user that no table lists, and set no HOME.
        raise HomeRefused(
            f"user {os.geteuid()} has no folder of its own", hint="name one: --home or MESH_HOME"
        ) from error


class HomeLock:
    """The right to run on a home. The kernel takes it back when the process ends, however."""

    __slots__ = ("_handle",)

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let others in; a second time does nothing."""
        # The file stays: to remove it would let a third process lock a file of the same name.
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class Home:
    """The folder of one node. Making the object touches nothing; `open` and `create` check it."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        """Raises HomeRefused for a path that names no folder, as links do that end in a circle."""
        try:
            # One home has one name, since the socket's place is derived from it.
            self.path = path.expanduser().resolve()
        except RuntimeError as error:
            raise HomeRefused(
                f"{path} leads to no folder: {str(error).rstrip('.')}",
                hint="correct the path, or choose another --home",
            ) from error

    def __repr__(self) -> str:
        return f"Home({str(self.path)!r})"

    @classmethod
    def create(cls, path: Path) -> Home:
        """
        Make the folder (0700) and a new identity in it.

        Raises:
            HomeExists: A node lives there already; nothing is changed.
            HomeRefused: The folder is there, and somebody else's or open to others.
            StorageError: The disk refused.
        """
        home = cls(path)
        try:
            home.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                home.path.mkdir(mode=0o700)
            except FileExistsError:
                pass
            else:
                sync_folder(home.path.parent)
        except OSError as error:
            raise _folder_error(home.path, "make the folder", error) from error
        _refuse_exposed_folder(home.path)
        if home.exists:
            raise HomeExists(f"{home.path} has a node", hint="use it, or choose another --home")
        with home.lock():
            create_key(home.key_path)
        return home

    @classmethod
    def open(cls, path: Path) -> Home:
        """
        The home in an existing folder.

        Raises:
            HomeMissing: No node lives there.
            HomeRefused: The folder is somebody else's, open to others, or closed to this user.
        """
        home = cls(path)
        if not home.exists:
            raise HomeMissing(
                f"{home.path} has no node", hint="make one with `mesh init`, or name another --home"
            )
        _refuse_exposed_folder(home.path)
        return home

    @property
    def exists(self) -> bool:
        """
        Whether a node lives here: there is something where its key stands.

        Raises:
            HomeRefused: It cannot be looked at, so nobody can say.
        """
        try:
            self.key_path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except PermissionError as error:
            raise _closed(self.path, error) from error
        except OSError as error:
            # A name that is too long, or a disk that does not answer.
            raise HomeRefused(
                f"{self.path} cannot be looked into: {error.strerror}",
                hint="see that the path is right and its disk answers, or choose another --home",
            ) from error
        return True

    @property
    def key_path(self) -> Path:
        return self.path / "identity.key"

    @property
    def database_path(self) -> Path:
        return self.path / "mesh.db"

    @property
    def lock_path(self) -> Path:
        return self.path / "node.lock"

    @property
    def log_path(self) -> Path:
        return self.path / "node.log"

    @property
    def socket_path(self) -> Path:
        """
        Where the running node listens: in the home, or in a short folder if that is too long.

        Follows from the home's path and `XDG_RUNTIME_DIR`; `find_socket` is for who may have
        another environment than the node had.
        """
        return self._socket_paths()[0]

    def _socket_paths(self) -> list[Path]:
        inside = self.path / "run" / "node.sock"
        if len(os.fsencode(inside)) <= SOCKET_PATH_BYTES_MAX:
            return [inside]
        hashed = hashlib.blake2b(os.fsencode(self.path), digest_size=10).hexdigest()
        runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
        folders = [runtime / NAME] if runtime.is_absolute() else []
        # Not TMPDIR, which differs between a shell and a service.
        folders.append(Path(f"/tmp/{NAME}-{os.geteuid()}"))  # noqa: S108 - checked to be ours
        paths = [folder / f"{hashed}.sock" for folder in folders]
        return [path for path in paths if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX]

    def seed(self) -> bytes:
        """The identity's 32-byte seed. Raises KeyFileRefused unless the file is private."""
        return read_key(self.key_path)

    def prepare_socket_folder(self) -> Path:
        """
        Make the folder of `socket_path` (0700), see that it is ours alone, remove a dead socket.

        Only the holder of the lock may call this.

        Returns:
            `socket_path`, free to be bound.
        """
        path = self.socket_path
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            _refuse_exposed_folder(path.parent)
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _folder_error(path.parent, "prepare the socket's folder", error) from error
        return path

    def find_socket(self) -> Path | None:
        """
        The socket of the node that runs here, or ran here until it was killed; else None.

        Raises:
            HomeRefused: Somebody else may have put it there.
            StorageError: The folder may not be looked into.
        """
        for path in self._socket_paths():
            try:
                found = path.is_socket()
            except OSError as error:
                raise _folder_error(path.parent, "look for the socket", error) from error
            if found:
                _refuse_exposed_folder(path.parent)
                return path
        return None

    def lock(self) -> HomeLock:
        """
        Be the only process on this home, until released or dead. Not kept across an exec.

        Raises:
            HomeInUse: Another process runs on it.
            StorageError: The lock file cannot be opened.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            handle = os.open(self.lock_path, flags, 0o600)
        except OSError as error:
            raise _folder_error(self.lock_path, "open the lock", error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            holder = os.pread(handle, _LOCK_BYTES_MAX, 0).decode(errors="replace").strip()
            os.close(handle)
            raise HomeInUse(
                f"{self.path} is in use by process {holder or '(unknown)'}",
                hint="stop it with `mesh down`, or use another --home",
            ) from error
        except OSError as error:
            os.close(handle)
            raise _folder_error(self.lock_path, "lock the home", error) from error
        return HomeLock(handle)


def _refuse_exposed_folder(path: Path) -> None:
    try:
        status = path.lstat()
    except OSError as error:
        raise _folder_error(path, "look at the folder", error) from error
    if not stat.S_ISDIR(status.st_mode):
        raise HomeRefused(f"{path} is not a folder", hint="move it away, or choose another --home")
    if status.st_uid != os.geteuid():
        raise HomeRefused(
            f"{path} belongs to user {status.st_uid}, this is user {os.geteuid()}",
            hint="run as its owner, or choose another --home",
        )
    if status.st_mode & _OTHERS:
        raise HomeRefused(
            f"{path} has mode {stat.S_IMODE(status.st_mode):o}: others may reach into it",
            hint=f"chmod 700 {path}",
        )


def _closed(home: Path, error: OSError) -> HomeRefused:
    """The first folder on the way to *home* that this user may not look into, and whose it is."""
    way = (*reversed(home.parents), home)
    folder = next((each for each in way if not os.access(each, os.X_OK)), home)
    try:
        owner = f"its owner, user {folder.stat().st_uid}"
    except OSError:
        owner = "its owner"
    where = "" if folder == home else f", nor {folder}"
    return HomeRefused(
        f"user {os.geteuid()} may not look into {home}{where}: {error.strerror}",
        hint=f"run as {owner}, or choose another --home",
    )


def _folder_error(path: Path, doing: str, error: OSError) -> StorageError:
    hint = f"see that you may write in {path.parent} and that its disk has space"
    if isinstance(error, FileExistsError | IsADirectoryError):
        hint = f"{error.filename} is in the way: move it away, or choose another --home"
    elif isinstance(error, PermissionError) and os.path.lexists(path):
        hint = f"see whose it is, `ls -ld {path}`; what another user made there needs `chown`"
    return StorageError(f"{path}: cannot {doing}: {error.strerror}", hint=hint)
