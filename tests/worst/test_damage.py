"""Pages of the database that are not what was written: named, and led out of by `mesh doctor`."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mesh.core.errors import MeshError, Precondition, StorageError
from mesh.node.repair import repair_home, why_damaged
from mesh.storage import Home
from mesh.storage.schema import repair_mark
from tests.cli.machine import Machine
from tests.crash.homes import agree
from tests.worst.homes import labelled, pair, settle, tokens, until, up, write

PAGE = 4096


def flip(path: Path, at: int, length: int = 1) -> None:
    data = bytearray(path.read_bytes())
    for place in range(at, min(at + length, len(data))):
        data[place] ^= 0x55
    path.write_bytes(data)


def pages(path: Path, table: str) -> list[int]:
    """Numbers of the pages of a table, from 0."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT pageno FROM dbstat WHERE name = ?", (table,)).fetchall()
    return [number - 1 for (number,) in rows]


def in_table(table: str, index: int) -> Callable[[Path], tuple[int, int]]:
    def find(path: Path) -> tuple[int, int]:
        return pages(path, table)[index] * PAGE, PAGE

    return find


def in_entry(part: str) -> Callable[[Path], tuple[int, int]]:
    """The middle of a part of the fourth entry from the end."""

    def find(path: Path) -> tuple[int, int]:
        with closing(sqlite3.connect(path)) as connection:
            query = f"SELECT {part} FROM log ORDER BY n DESC LIMIT 1 OFFSET 4"
            ((value,),) = connection.execute(query).fetchall()
        return path.read_bytes().index(value) + len(value) // 2, 1

    return find


def said(path: Path, token: bytes) -> int:
    """Where the entry stands that says *token* first."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT body FROM log WHERE instr(body, ?) ORDER BY n LIMIT 1"
        ((body,),) = connection.execute(query, (b"\xa2" + token,)).fetchall()
    return path.read_bytes().index(body) + body.index(token)


PLACES: dict[str, Callable[[Path], tuple[int, int]]] = {
    "first page": lambda path: (0, PAGE),
    "a page of the log": in_table("log", -2),
    "the root of the log": in_table("log", 0),
    "the index of the log": in_table("sqlite_autoindex_log_1", 0),
    "the names of Worknodes": in_table("worknode", 0),
    "what touches what": in_table("touch", 0),
    "the meta table": in_table("meta", 0),
    "header of an entry": in_entry("header"),
    "signature of an entry": in_entry("sig"),
    "body of an entry": in_entry("body"),
}


#: What a start does not read, or not check: named by `mesh doctor`, and when it is needed.
ON_READ = {
    "the index of the log",
    "the names of Worknodes",
    "what touches what",
    "signature of an entry",
}


@pytest.mark.parametrize("place", PLACES)
async def test_damage_is_named_and_what_had_spread_comes_back(tmp_path: Path, place: str) -> None:
    a, b = await pair(tmp_path)
    path = settle(b)
    flip(path, *PLACES[place](path))
    damaged = path.read_bytes()
    assert why_damaged(Home(b))
    findings = _doctor(Machine(b))
    assert any("mesh doctor --repair" in (row["remedy"] or "") for row in findings), findings
    if place not in ON_READ:
        with pytest.raises(StorageError) as caught:
            async with up(b):
                pass
        assert str(path) in caught.value.message and "--repair" in caught.value.hint
    done = Machine(b).ok("doctor", "--repair")
    assert done["reason"] and done["waits"]
    aside = Path(done["aside"])
    assert aside.read_bytes() == damaged, "the old file is kept as it was"  # noqa: ASYNC240
    async with up(a) as alpha, up(b, alpha) as beta:
        before = alpha.replica.state_hash()
        with pytest.raises(Precondition, match="before it writes again"):
            await write(beta, "too early")
        await until(lambda: not beta.replica.writer.blocked, "it may write again")
        assert await agree(alpha, beta) == before
        await write(beta, "and on")
        await agree(alpha, beta)
        assert tokens(beta) == sorted([*(f"{n}{i}" for n in "ab" for i in range(3)), "and on"])
        assert labelled(beta) == set(tokens(beta))
        assert alpha.replica.forked() == beta.replica.forked() == []
    assert why_damaged(Home(b)) == ""


def _doctor(machine: Machine) -> list[dict[str, Any]]:
    import json

    run = machine.run("--json", "doctor")
    assert run.returncode == 1, run
    found: list[dict[str, Any]] = json.loads(run.stdout)["data"]
    return found


async def test_own_entries_that_nobody_has_survive_damage_beside_them(tmp_path: Path) -> None:
    a, b = await pair(tmp_path)
    async with up(b) as beta:
        for number in range(3):
            await write(beta, f"off line {number}")
    path = settle(b)
    # The first token of B, long known to A; what nobody else has stands behind it.
    flip(path, said(path, b"b1"))
    assert repair_home(Home(b)).kept >= 12
    # Damaged once more before it has met anybody: what was set aside is not forgotten.
    flip(path, said(settle(b), b"b0"))
    assert repair_home(Home(b)).kept >= 12
    async with up(a) as alpha, up(b, alpha) as beta:
        await until(lambda: not beta.replica.writer.blocked, "it may write again")
        await agree(alpha, beta)
        for number in range(3):
            assert tokens(alpha).count(f"off line {number}") == 1
        assert alpha.replica.forked() == []


async def test_damage_anywhere_is_named_or_harmless(tmp_path: Path) -> None:
    """Random flips: the same state as before, or an error that names the file and the way out."""
    _, b = await pair(tmp_path, count=8)
    path = settle(b)
    good = path.read_bytes()
    async with up(b) as beta:
        state = beta.replica.state_hash()
    source = random.Random(3)
    named: list[MeshError] = []
    for _ in range(40):
        length = source.choice([1, 16, PAGE])
        data = bytearray(good)
        at = source.randrange(len(data)) // length * length
        data[at : at + length] = source.randbytes(len(data[at : at + length]))
        path.write_bytes(data)
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        try:
            async with up(b) as beta:
                assert beta.replica.state_hash() == state, (at, length)
        except MeshError as error:
            named.append(error)
    assert len(named) > 5
    assert all(error.hint and str(path) in error.message for error in named)


async def test_repair_that_was_cut_off_is_taken_up_again(tmp_path: Path) -> None:
    a, b = await pair(tmp_path)
    path = settle(b)
    good = path.read_bytes()
    flip(path, *PLACES["a page of the log"](path))
    damaged = path.read_bytes()
    done = repair_home(Home(b))
    assert done.aside is not None
    # As after a crash between the two renames: the mark stands, the old file is in its place.
    repair_mark(path).write_text(done.aside.name)
    path.write_bytes(damaged)
    with pytest.raises(StorageError, match="a repair was interrupted") as caught:
        async with up(b):
            pass
    assert caught.value.hint == "run `mesh doctor --repair` again"
    assert repair_home(Home(b)).entries == done.entries
    async with up(a) as alpha, up(b, alpha) as beta:
        await until(lambda: not beta.replica.writer.blocked, "it may write again")
        await agree(alpha, beta)
    assert path.read_bytes() != damaged != good
