"""A snapshot whose checksum is right, and one of whose records is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from crdt.codec import decode, encode
from mesh.api.context import Context
from mesh.api.operations import OPERATIONS, perform
from mesh.core.effects import Persist
from mesh.core.errors import DamagedRecord, MeshError
from mesh.core.inputs import Now
from mesh.core.records import PutSnapshot
from mesh.core.writes import SetRegister
from mesh.node.clock import wall_ms
from mesh.node.node import Node
from mesh.replica.replica import Replica
from mesh.storage import Home, SqliteStore
from mesh.worknode.text import id_text
from tests.crash.homes import agree, signer_of
from tests.worst.homes import pair, until, up


def spoil(home: Path, node: bytes) -> None:
    """Take a snapshot in which bytes that are no record stand for one Worknode."""
    with SqliteStore(Home(home).database_path) as store:
        replica = Replica.load(store, signer=signer_of(home), now=Now(0, wall_ms()))
        (persist,) = replica.snapshot(least=1)
        assert isinstance(persist, Persist)
        (record,) = persist.records
        assert isinstance(record, PutSnapshot)
        value: Any = decode(record.data, size_max=len(record.data), depth_max=32)
        pages = []
        for page in value[5]:
            rows: Any = decode(page, size_max=len(page), depth_max=32)
            # The first byte says what a look at it needs; behind it stands nothing of sense.
            rows = tuple((w, leaf, r[:1] + b"\xc1" if w == node else r) for w, leaf, r in rows)
            pages.append(encode(rows, depth_max=2))
        spoilt = encode((*value[:5], tuple(pages), *value[6:]), depth_max=32)
        store.commit([PutSnapshot(record.n, spoilt)])


async def with_task(tmp_path: Path) -> tuple[Path, Path, bytes, bytes]:
    """Two homes, a Worknode that both know, and their state."""
    a, b = await pair(tmp_path)
    async with up(a) as alpha, up(b, alpha) as beta:
        before = await agree(alpha, beta)
        worknodes = beta.replica.store.worknodes.items()
        node = next(n for n, r in worknodes if r.creates and n != beta.replica.store.root)
    return a, b, node, before


async def show(node: Node, worknode: bytes) -> object:
    context = Context(node, is_running=True)
    return await perform(context, OPERATIONS["show"], {"node": id_text(worknode)})


async def shown(node: Node, worknode: bytes) -> object:
    with trio.fail_after(30):
        while True:
            try:
                return await show(node, worknode)
            except MeshError:
                await trio.sleep(0.05)


@pytest.mark.parametrize("how", ["read", "written"])
async def test_log_is_folded_again_when_a_record_is_none(tmp_path: Path, how: str) -> None:
    a, b, node, before = await with_task(tmp_path)
    async with up(b) as beta:
        whole = await show(beta, node)
    spoil(b, node)
    async with up(a) as alpha, up(b, alpha) as beta:
        await until(lambda: bool(beta._parts.links.open), "linked")
        with pytest.raises(DamagedRecord, match="cannot be read") as caught:
            if how == "read":
                await show(beta, node)
            else:
                await beta.submit([SetRegister(node, 0, "title", "anew")])
        assert node.hex() in caught.value.message
        assert await shown(beta, node) == whole
        assert await agree(alpha, beta) == before
        await beta.submit([SetRegister(node, 0, "title", "anew")])
        await agree(alpha, beta)
