"""
Repair: a home whose database is damaged, or whose pen was stopped, is led back to its mesh.

`repair_home` keeps the old files aside as they are, and puts a new database in their place with
everything that could be read: each entry is checked by its hash and its signature before it is
believed (`mesh.replica.rebuilding`). The rest comes back from the peers. Until they have said what
they hold of this node's own log it writes nothing (`mesh.replica.recovery`), so a repaired home
cannot fork it.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from capability.keys import SeedSigner
from mesh.core.errors import MeshError, Precondition, StorageError
from mesh.core.records import PutMeta, Record
from mesh.node.swap import aside_of, is_new_key, keep_aside, new_database, put_in_place, remove
from mesh.replica.founding import META_MESH
from mesh.replica.rebuilding import Remains, rebuild
from mesh.replica.recovery import META_BLOCKED, META_RECOVER, WAIT_FOR_ALL, WAIT_FOR_ONE
from mesh.replica.reissue import META_REISSUE
from mesh.storage import Home, SqliteStore
from mesh.storage.salvage import Salvage, lay_events, salvage
from mesh.storage.schema import repair_mark, storage_error
from mesh.storage.wal import wal_of

#: Records of one commit: a repair of a large log must not hold all of it twice.
_COMMIT_RECORDS_MAX: Final = 1_000


@frozen
class Repaired:
    """What a repair came to."""

    #: Why it was needed, empty if it was not.
    reason: str = ""
    #: Where the files of before are.
    aside: Path | None = None
    #: Entries that are in the log, and own ones that wait until the log is whole.
    entries: int = 0
    kept: int = 0
    #: What was found in the old files and could not be read.
    unreadable: int = 0
    #: Whether peers have to be met before this home writes again.
    waits: bool = False


def repair_home(home: Home, *, accept_absent: bool = False) -> Repaired:
    """
    Mend *home*, on which no node may run. A second call goes on with one that was interrupted.

    Args:
        home: Its old files are kept beside the new ones.
        accept_absent: Whether one member's word will do for that of all: for a mesh some members
            of which never come back. If one of these holds more of this log, it forks.

    Raises:
        HomeInUse: A process runs on it.
        Precondition: Not even the mesh's genesis can be read: nothing is changed.
        StorageError: The disk refused.
    """
    with home.lock():
        try:
            return _repair(home, accept_absent=accept_absent)
        except (OSError, sqlite3.Error) as error:
            raise storage_error(home.database_path, "repair", error) from error


def _repair(home: Home, *, accept_absent: bool) -> Repaired:
    path = home.database_path
    mark = repair_mark(path)
    if is_new_key(home):
        aside = aside_of(home)
        put_in_place(home)
        return Repaired("a change of key was interrupted", aside, waits=True)
    reason = "a repair was interrupted" if mark.exists() else why_damaged(home)
    is_damaged = bool(reason)
    if not is_damaged:
        with SqliteStore(path) as store:
            reason = (store.meta(META_BLOCKED) or b"").decode()
            if store.meta(META_RECOVER) is not None:
                # Done already; what was set aside is not to be thrown away by doing it again.
                if accept_absent:
                    store.commit([PutMeta(META_RECOVER, WAIT_FOR_ONE)])
                return Repaired(reason or "it was repaired, and waits for its peers", waits=True)
            if not reason:
                if accept_absent and store.meta(META_REISSUE) is not None:
                    store.commit([PutMeta(META_REISSUE, WAIT_FOR_ONE)])
                    return Repaired("the work of the old key waits for members", waits=True)
                return Repaired()
    mode = WAIT_FOR_ONE if accept_absent else WAIT_FOR_ALL
    source = aside_of(home) if mark.exists() else path
    new = new_database(home)
    found = read_files(source)
    remove(new)
    result = _build(new, home, found, mode, reason, is_damaged=is_damaged)
    aside = source if source != path else keep_aside(home)
    put_in_place(home)
    return Repaired(reason, aside, *result)


def why_damaged(home: Home) -> str:
    """
    What is wrong with the database, empty if all of it can be read and believed.

    Cost: that of reading the log and of a signature for each entry, 60 s per million entries.
    """
    path = home.database_path
    if not path.exists():
        return f"{path} is gone"
    try:
        with SqliteStore(path) as store:
            problems = store.check()
            if problems:
                return problems[0]
            mesh_id = store.meta(META_MESH)
            if mesh_id is None:
                return "the name of the mesh is gone"
            return _first_unsigned(store, mesh_id)
    except MeshError as error:
        return error.message


def _first_unsigned(store: SqliteStore, mesh_id: bytes) -> str:
    for stored in store.entries():
        if not Salvage.is_signed(stored.entry, mesh_id):
            return f"{store.path}: the signature of entry {stored.n} is not the one it was written"
    return ""


def read_files(source: Path) -> Salvage:
    """From a copy, so that SQLite changes nothing of what is kept."""
    folder = source.with_name("repair")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        copy = folder / "mesh.db"
        if source.exists():
            shutil.copyfile(source, copy)
        if wal_of(source).exists():
            shutil.copyfile(wal_of(source), wal_of(copy))
        return salvage(copy)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _build(
    new: Path, home: Home, found: Salvage, mode: bytes, reason: str, *, is_damaged: bool
) -> tuple[int, int, int, bool]:
    """Write the new database: entries in it, own ones set aside, what is unreadable, waits."""
    mesh_id = found.mesh_id()
    if mesh_id is None:
        raise Precondition(
            f"{home.database_path}: not even the mesh's first entry can be read ({reason})",
            hint="keep a copy of the home; `mesh join` anew in another one brings what had spread",
        )
    rebuilt = rebuild(
        remains_of(found, mesh_id, is_damaged=is_damaged),
        author=SeedSigner(home.seed()).public,
        mode=mode,
        is_signed=lambda entry: Salvage.is_signed(entry, mesh_id),
    )
    lay_database(new, found, rebuilt.records)
    return rebuilt.entries, rebuilt.kept, rebuilt.unreadable, rebuilt.waits


def remains_of(found: Salvage, mesh_id: bytes, *, is_damaged: bool) -> Remains:
    """What of the readable can be believed."""
    # Before the count of what is unreadable is taken: it grows by what is not signed.
    entries = found.signed(mesh_id)
    return Remains(
        mesh_id,
        entries,
        found.meta,
        found.pending,
        found.peers,
        found.proofs,
        found.unreadable,
        is_damaged,
    )


def lay_database(new: Path, found: Salvage, records: Sequence[Record]) -> None:
    """Write a whole database, durable when it returns; nothing of it is left if that fails."""
    try:
        _lay(new, found, records)
    except BaseException:
        remove(new)
        raise


def _lay(new: Path, found: Salvage, records: Sequence[Record]) -> None:
    SqliteStore(new).close()
    lay_events(new, found)
    with SqliteStore(new) as store:
        for first in range(0, len(records), _COMMIT_RECORDS_MAX):
            store.commit(records[first : first + _COMMIT_RECORDS_MAX])
    if wal_of(new).exists():
        # Closing folds it in, unless the disk refuses; only the file itself is put in place.
        raise StorageError(
            f"{new}: cannot be written whole",
            hint="free space on the disk, then run `mesh doctor --repair` again",
        )
