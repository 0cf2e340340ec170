"""
The key file: 46 bytes, private to its owner, written once and never replaced.

    magic    8 bytes  "WNMKEY", CR, LF: a copy that went through a text mode is noticed
    version  1 byte   1
    kdf      1 byte   0: the seed is not encrypted (other values: reserved for passphrases)
    seed    32 bytes  an Ed25519 seed
    check    4 bytes  BLAKE2b over all that stands before: one flipped bit would be another identity

The file is written under another name, synced, and linked to its place: it is there whole or not
at all, and no existing key is ever overwritten. Reading checks the open file, not the name, so
nobody can exchange it in between.

Python cannot wipe memory, so the seed stays in the process; at least no core dump shall hold it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import stat
from pathlib import Path
from typing import Final

from mesh.core.errors import StorageError
from mesh.storage.errors import HomeExists, KeyFileRefused

MAGIC: Final = b"WNMKEY\r\n"
VERSION: Final = 1
KDF_NONE: Final = 0
SEED_BYTES: Final = 32
CHECK_BYTES: Final = 4
FILE_BYTES: Final = len(MAGIC) + 2 + SEED_BYTES + CHECK_BYTES

_CHECK_DOMAIN: Final = b"worknode-mesh/v1/key-file\0"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def disable_core_dumps() -> None:
    """Let no crash of this process, or of its children, write its memory to a file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def create_key(path: Path) -> bytes:
    """
    Draw a new seed and write it to *path*; durable when it returns.

    Two processes must not do this at the same time: the caller holds the home's lock.

    Returns:
        The seed.

    Raises:
        HomeExists: There is a file already; it is left alone.
        StorageError: The disk refused.
    """
    seed = os.urandom(SEED_BYTES)
    new = path.with_name(f".{path.name}.new")
    try:
        # What a crash before the link left behind: a seed that was never anybody's.
        new.unlink(missing_ok=True)
        try:
            _write_whole(new, _encode(seed))
            os.link(new, path, follow_symlinks=False)
        finally:
            # Half a key is of no use, and a whole one that was not linked is nobody's.
            new.unlink(missing_ok=True)
        sync_folder(path.parent)
    except FileExistsError as error:
        raise HomeExists(f"{path} exists", hint="use it, or choose another --home") from error
    except OSError as error:
        raise StorageError(
            f"{path}: cannot write the key: {error.strerror}",
            hint=f"see that you may write in {path.parent} and that its disk has space",
        ) from error
    return seed


def read_key(path: Path) -> bytes:
    """
    The seed in a key file.

    Raises:
        KeyFileRefused: Missing, a link, not ours, open to others, or not a key file.
        StorageError: The disk refused.
    """
    try:
        # Without O_NONBLOCK, a pipe in its place would make us wait for its writer.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _open_error(path, error) from error
    try:
        _refuse_exposed(path, os.fstat(handle))
        data = os.read(handle, FILE_BYTES + 1)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot read the key: {error.strerror}", hint="look at the system's log"
        ) from error
    finally:
        os.close(handle)
    return _decode(path, data)


def sync_folder(path: Path) -> None:
    """Make names that were made or removed in a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_whole(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    try:
        # The umask may have taken bits from the owner too.
        os.fchmod(handle, 0o600)
        written = os.write(handle, data)
        if written != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(handle)
    finally:
        os.close(handle)


def _open_error(path: Path, error: OSError) -> KeyFileRefused | StorageError:
    match error.errno:
        case errno.ENOENT:
            return KeyFileRefused(
                f"{path} does not exist", hint="restore it, or make a new home with `mesh init`"
            )
        case errno.ELOOP:
            return KeyFileRefused(
                f"{path} is a symbolic link", hint="put the key file itself there, with mode 600"
            )
        case _:
            return StorageError(
                f"{path}: cannot open the key: {error.strerror}",
                hint=f"see that {path} is yours and that you may read it",
            )


def _refuse_exposed(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileRefused(f"{path} is not a regular file", hint="restore the key file")
    if status.st_uid != os.geteuid():
        raise KeyFileRefused(
            f"{path} belongs to user {status.st_uid}, this is user {os.geteuid()}",
            hint=f"run as its owner, or `chown {os.geteuid()} {path}` if the key is yours",
        )
    if status.st_mode & _OTHERS:
        raise KeyFileRefused(
            f"{path} has mode {stat.S_IMODE(status.st_mode):o}: others may read or replace the key",
            hint=f"chmod 600 {path}",
        )


def _check(data: bytes) -> bytes:
    return hashlib.blake2b(_CHECK_DOMAIN + data, digest_size=CHECK_BYTES).digest()


def _encode(seed: bytes) -> bytes:
    assert len(seed) == SEED_BYTES
    data = MAGIC + bytes((VERSION, KDF_NONE)) + seed
    return data + _check(data)


def _decode(path: Path, data: bytes) -> bytes:
    # No message shows any byte of the file: it may be a key after all.
    hint = "restore the key file from a copy that never ran, or make a new home with `mesh init`"
    if not data.startswith(MAGIC):
        raise KeyFileRefused(f"{path} is not a key file", hint=hint)
    version, kdf = data[len(MAGIC) : len(MAGIC) + 2].ljust(2, b"\0")
    if version > VERSION or kdf != KDF_NONE:
        raise KeyFileRefused(
            f"{path} is of a newer format (version {version}, kdf {kdf})",
            hint="upgrade worknode-mesh on this machine",
        )
    if version != VERSION or len(data) != FILE_BYTES or _check(data[:-4]) != data[-4:]:
        raise KeyFileRefused(f"{path} is damaged or cut short", hint=hint)
    return data[len(MAGIC) + 2 : -CHECK_BYTES]
