"""Two members of one mesh whose homes suffer, and how they are seen to be well again."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from capability.ids import root_worknode
from mesh.core.writes import AddToSet, Append, Create, RemoveFromSet, SetRegister
from mesh.node.node import Node, open_node
from mesh.replica.writer import Submitted
from mesh.storage import Home, SqliteStore
from mesh.worknode.cells import LOG, SET, DotCell
from tests.crash.homes import LOOPBACK, agree, found, invite, is_member

HEAL_S_MAX = 30.0


@asynccontextmanager
async def up(home: Path, *peers: Node) -> AsyncIterator[Node]:
    """A node that knows where *peers* listen."""
    addresses = [address for peer in peers for address in peer.listen_addresses]
    async with open_node(home, listen=LOOPBACK, mdns=False, peers=addresses) as node:
        yield node


async def write(node: Node, token: str, *, session: str = "") -> Submitted:
    """One acknowledged Worknode that carries *token* in fields of several kinds."""
    root = root_worknode(node.mesh_id)
    made = await node.submit([Create(root, "task", nonce=os.urandom(16))], session=session)
    assert isinstance(made, Submitted)
    (created,) = made.created
    await node.submit(
        [
            SetRegister(created, 0, "title", token),
            AddToSet(created, 0, "labels", "gone"),
            AddToSet(created, 0, "labels", token),
        ],
        session=session,
    )
    await node.submit([RemoveFromSet(created, 0, "labels", "gone")], session=session)
    last = await node.submit([Append(root, 0, "notes", token)], session=session)
    assert isinstance(last, Submitted)
    return last


def tokens(node: Node) -> list[str]:
    """The tokens of `write` that stand in the append log of the root, sorted."""
    cell = node.replica.store.cell(root_worknode(node.mesh_id), (0, "notes", LOG))
    return sorted(str(v) for _, v in cell.dots.values()) if isinstance(cell, DotCell) else []


def labelled(node: Node) -> set[str]:
    """The labels of all Worknodes: each token once, and nothing that was removed."""
    found: set[str] = set()
    for each, record in node.replica.store.worknodes.items():
        if record.creates:
            cell = node.replica.store.cell(each, (0, "labels", SET))
            found |= {str(v) for _, v in cell.dots.values()} if isinstance(cell, DotCell) else set()
    return found


async def until(condition: Callable[[], bool], what: str) -> None:
    with trio.move_on_after(HEAL_S_MAX):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.02)
        return
    raise AssertionError(f"not within {HEAL_S_MAX} s: {what}")


async def pair(tmp_path: Path, *names: str, count: int = 3) -> tuple[Path, ...]:
    """Homes of members who have met and agree; each has written *count* tokens."""
    homes = [found(tmp_path / "a")]
    async with up(homes[0]) as alpha:
        homes += [await invite(alpha, tmp_path / name) for name in names or ("b",)]
        for home in homes[1:]:
            async with up(home, alpha) as node:
                await is_member(node)
                for number in range(count):
                    await write(node, f"{home.name}{number}", session="s")
                await agree(alpha, node)
        for number in range(count):
            await write(alpha, f"a{number}")
        for home in homes[1:]:
            async with up(home, alpha) as node:
                await agree(alpha, node)
    return tuple(homes)


def copy_home(home: Path, to: Path) -> None:
    """As a back-up of a stopped node is made."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(home, to, ignore=shutil.ignore_patterns("*.sock"))


def settle(home: Path) -> Path:
    """The database as one file, with nothing in the write-ahead log."""
    path = Home(home).database_path
    SqliteStore(path).close()
    return path
