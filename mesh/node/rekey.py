"""
A new key for a home whose old one cannot go on: it ran twice, or its clock ran ahead.

Nobody but a member can admit the new key, so it comes with a ticket; the old key could sign its own
successor in, but only where its authority log is not in doubt, and of a home that ran twice nobody
on this machine can say that. The old files and the old key are kept aside. The new home begins as a
member's does, with all entries of others that are held here, and with the data of the old key set
aside (`mesh.replica.succession`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from attrs import frozen

from capability.keys import SeedSigner
from crdt.codec import encode
from mesh.core.errors import Conflict, Precondition, StorageError, UsageError
from mesh.core.records import PutMeta, Record
from mesh.node.repair import lay_database, read_files, remains_of
from mesh.node.setup import META_TICKET_PEERS, read_ticket, refuse_expired
from mesh.node.swap import keep_aside, keep_key_aside, new_database, new_key, put_in_place, remove
from mesh.replica.founding import META_JOIN_SEED, META_NAME, member_grant, membership
from mesh.replica.recovery import META_FORMER, WAIT_FOR_ALL, WAIT_FOR_ONE, with_former
from mesh.replica.succession import Estate
from mesh.storage import Home
from mesh.storage.keyfile import create_key
from mesh.storage.salvage import Salvage
from mesh.storage.schema import repair_mark, storage_error


@frozen
class Rekeyed:
    """What a change of key came to."""

    #: Where the old database and the old key are.
    aside: Path
    old_key: Path
    #: The new identity.
    node_key: bytes
    #: Entries in the new log, and those of the old key that wait until it is known what counts.
    entries: int
    stranded: int
    unreadable: int


def rekey_home(
    home: Home, ticket_text: str, wall_ms: int, *, accept_absent: bool = False
) -> Rekeyed:
    """
    Give *home*, on which no node may run, a new key that the ticket admits.

    Raises:
        UsageError: The ticket is mistyped, or is the one that the old key came by.
        Precondition: It has expired, or the home holds no mesh that can be read.
        Conflict: It is for another mesh.
        Denied: It does not allow this node in.
        HomeInUse: A process runs on the home.
        StorageError: The disk refused, or an earlier repair was interrupted.
    """
    with home.lock():
        try:
            return _rekey(
                home, ticket_text, wall_ms, WAIT_FOR_ONE if accept_absent else WAIT_FOR_ALL
            )
        except (OSError, sqlite3.Error) as error:
            raise storage_error(home.database_path, "change the key", error) from error


def _rekey(home: Home, ticket_text: str, wall_ms: int, mode: bytes) -> Rekeyed:
    if repair_mark(home.database_path).exists():
        raise StorageError(
            f"{home.database_path}: a repair was interrupted",
            hint="run `mesh doctor --repair` first, then this again",
        )
    ticket, facts = read_ticket(ticket_text)
    refuse_expired(facts, wall_ms)
    found = read_files(home.database_path)
    mesh_id = found.mesh_id()
    if mesh_id is None:
        raise Precondition(
            f"{home.database_path}: not even the mesh's first entry can be read",
            hint="`mesh join` with that ticket in another --home",
        )
    if mesh_id != ticket.mesh:
        raise Conflict(
            f"{home.path} belongs to the mesh {mesh_id.hex()[:8]}, the ticket is for "
            f"{ticket.mesh.hex()[:8]}",
            hint="ask a member of this mesh",
        )
    if found.meta.get(META_JOIN_SEED) == ticket.seed:
        raise UsageError(
            "this ticket has admitted this home's old key", hint="ask a member for a new one"
        )
    old = SeedSigner(home.seed())
    estate = Estate.of(
        remains_of(found, mesh_id, is_damaged=True),
        old=old,
        wall_ms=wall_ms,
        is_signed=lambda entry: Salvage.is_signed(entry, mesh_id),
    )
    try:
        new_key(home).unlink(missing_ok=True)
        signer = SeedSigner(create_key(new_key(home)))
        name = found.meta.get(META_NAME, b"").decode()
        grant = member_grant(ticket, facts, signer.public, name, wall_ms)
        metas = _metas(membership(ticket, facts, grant, 1, name=name))
        metas[META_FORMER] = with_former(found.meta.get(META_FORMER), old.public)
        metas[META_TICKET_PEERS] = encode(ticket.addresses)
        remove(new_database(home))
        lay_database(new_database(home), found, estate.records(signer.public, metas, mode))
        old_key = keep_key_aside(home)
        aside = keep_aside(home, word="old", is_key_new=True)
    except BaseException:
        # Refused or interrupted: the home is the old one, and nothing of the new one takes space.
        if not repair_mark(home.database_path).exists():
            remove(new_database(home))
            new_key(home).unlink(missing_ok=True)
        raise
    put_in_place(home)
    return Rekeyed(
        aside,
        old_key=old_key,
        node_key=signer.public,
        entries=len(estate.placed),
        stranded=len(estate.stranded),
        unreadable=estate.unreadable,
    )


def _metas(records: Iterable[Record]) -> dict[str, bytes]:
    return {record.key: record.value for record in records if isinstance(record, PutMeta)}


__all__ = ["Rekeyed", "rekey_home"]
