"""
Putting another database in the place of a home's, so that a crash at any moment loses neither.

The old files are copied aside first; then a mark is left beside the database, with which no node
starts; then the new files take their places, and the mark goes.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import closing
from itertools import chain, count
from pathlib import Path
from typing import Final

from mesh.core.errors import StorageError
from mesh.storage import Home
from mesh.storage.keyfile import sync_folder
from mesh.storage.schema import repair_mark
from mesh.storage.wal import wal_of

#: A file of a swap that is being written. A kill leaves it; the next swap removes it.
PART: Final = "mesh.db.part"
#: The second word of a mark: the new database and its key are whole, only their places are left.
_NEW_KEY: Final = "key"


def new_database(home: Home) -> Path:
    """Where the database is built that will take the place of the home's."""
    return home.database_path.with_name(home.database_path.name + ".new")


def new_key(home: Home) -> Path:
    """Where the key stands that will take the place of the home's."""
    return home.key_path.with_name(home.key_path.name + ".next")


def aside_of(home: Home) -> Path:
    """The old database that a mark names. Raises StorageError if the mark is damaged."""
    return home.database_path.with_name(_words(home)[0])


def is_new_key(home: Home) -> bool:
    """
    Whether a change of key was interrupted when all that was left was to put it in place.

    Raises:
        StorageError: The mark is damaged.
    """
    return repair_mark(home.database_path).exists() and _words(home)[1:] == [_NEW_KEY]


def _words(home: Home) -> list[str]:
    path = home.database_path
    mark = repair_mark(path)
    words = mark.read_bytes().decode(errors="replace").split()
    if not words or not words[0].startswith(path.name + ".") or "/" in words[0]:
        raise StorageError(
            f"{mark}: does not name the old database",
            hint=f"write the name of the newest {path.name}.damaged-… or {path.name}.old-… that "
            "stands beside it into it, then try again",
        )
    return words


def put_in_place(home: Home) -> None:
    """The new database, and the new key if there is one. May be done again after a crash."""
    path = home.database_path
    if new_database(home).exists():
        new_database(home).replace(path)
    remove(wal_of(path), path.with_name(path.name + "-shm"))
    if is_new_key(home) and new_key(home).exists():
        new_key(home).replace(home.key_path)
    sync_folder(path.parent)
    repair_mark(path).unlink(missing_ok=True)
    sync_folder(path.parent)


def keep_key_aside(home: Home) -> Path:
    """Another name for the old key: whoever needs it again finds it there."""
    for known in sorted(home.path.glob(f"{home.key_path.name}.old-*")):
        if known.samefile(home.key_path):
            # Of a change that was cut off: one key needs no third name.
            return known
    aside = _free(home.key_path, "old")
    os.link(home.key_path, aside, follow_symlinks=False)
    sync_folder(home.path)
    return aside


def _free(path: Path, word: str) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    names = (f"{path.name}.{word}-{stamp}{end}" for end in chain([""], map("-{}".format, count(2))))
    return next(place for name in names if not (place := path.with_name(name)).exists())


def keep_aside(home: Home, *, word: str = "damaged", is_key_new: bool = False) -> Path:
    """Copy the old files, durably, before anything happens to them; then leave the mark."""
    path = home.database_path
    mark = repair_mark(path)
    aside = _free(path, word)
    # The write-ahead log first: where the database has its name, the copy is whole.
    for old, copy in ((wal_of(path), wal_of(aside)), (path, aside)):
        if old.exists():
            _whole(copy, old)
    sync_folder(path.parent)
    _whole(mark, f"{aside.name} {_NEW_KEY}" if is_key_new else aside.name)
    sync_folder(path.parent)
    return aside


def _whole(path: Path, content: Path | str) -> None:
    """A new file that is there with all of *content* or, should anything come between, not."""
    part = path.parent / PART
    part.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with closing(os.fdopen(os.open(part, flags, 0o600), "wb")) as target:
            if isinstance(content, str):
                target.write(content.encode())
            else:
                with content.open("rb") as source:
                    shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
        part.replace(path)
    except BaseException:
        # On a full disk half a copy would only take the space that a person is making.
        part.unlink(missing_ok=True)
        raise


def remove(*paths: Path) -> None:
    """Database files with their companions."""
    for path in paths:
        for name in (path.name, path.name + "-wal", path.name + "-shm"):
            path.with_name(name).unlink(missing_ok=True)
