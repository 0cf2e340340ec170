"""A real node whose disk refuses, or which is killed: what was acknowledged is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from capability.ids import root_worknode
from mesh.core.errors import StorageError
from mesh.core.records import Record
from mesh.core.writes import Create
from mesh.node import crashpoints
from mesh.node.clock import wall_ms
from mesh.node.node import Node, open_node
from mesh.node.setup import prepare_join
from mesh.storage import Home, SqliteStore
from tests.mesh.node.test_node import LOOPBACK, create, equal, founded, ticket_from

ROOT = Path(__file__).resolve().parents[3]

WRITER = """
import sys, trio
from pathlib import Path
from tests.mesh.node.test_node import LOOPBACK, create
from mesh.node.node import open_node

async def main():
    async with open_node(Path(sys.argv[1]), listen=LOOPBACK, mdns=False) as node:
        for _ in range(10):
            await create(node, "x", level=sys.argv[2])
            print("ack", flush=True)

trio.run(main)
"""


class Refusals:
    """Makes the disk of one home refuse, from the store's point of view."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on = False
        self.tries = 0
        database = Home(home).database_path
        commit = SqliteStore.commit

        def maybe(store: SqliteStore, records: Sequence[Record]) -> None:
            if self.on and store.path == database:
                self.tries += 1
                raise StorageError("database or disk is full")
            commit(store, records)

        monkeypatch.setattr(SqliteStore, "commit", maybe)


async def same_again(one: Node, other: Node) -> None:
    with trio.fail_after(20):
        while True:
            if one.replica.counts()["worknodes"] == other.replica.counts()["worknodes"]:
                break
            await trio.sleep(0.02)
    await equal(one, other)


async def test_a_full_disk_refuses_writes_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = founded(tmp_path / "a")
    disk = Refusals(home, monkeypatch)
    async with open_node(home, listen=LOOPBACK, mdns=False) as alpha:
        ticket = await ticket_from(alpha)
        prepare_join(tmp_path / "b", ticket.encode(), "beta", wall_ms())
        async with open_node(tmp_path / "b", listen=LOOPBACK, mdns=False) as beta:
            await create(alpha, "one")
            await equal(alpha, beta)
            before = alpha.replica.state_hash()
            disk.on = True
            for _ in range(3):
                with pytest.raises(StorageError, match="full"):
                    await create(alpha, "refused")
            # Reading goes on, of what is on disk and nothing else.
            with trio.fail_after(5):
                while alpha.replica.state_hash() != before:  # noqa: ASYNC110
                    await trio.sleep(0.01)
            await create(beta, "meanwhile")
            await trio.sleep(1.5)
            assert disk.tries <= 12
            disk.on = False
            with trio.fail_after(20):
                while alpha.status()["writing"] != "ok":  # noqa: ASYNC110
                    await trio.sleep(0.05)
            await create(alpha, "two")
            await same_again(alpha, beta)
            assert beta.replica.counts()["worknodes"] == 3
    with SqliteStore(Home(home).database_path) as store:
        assert store.check() == []


@pytest.mark.parametrize(
    "setting",
    ["before_commit:6", "in_commit:7", "after_commit:6", "after_committed:6", "before_reply:5"],
)
@pytest.mark.parametrize("level", ["eventual", "local"])
async def test_a_killed_node_has_what_it_acknowledged(
    tmp_path: Path, setting: str, level: str
) -> None:
    home = founded(tmp_path / "a")
    done = await trio.run_process(
        [sys.executable, "-c", WRITER, str(home), level],
        env={**os.environ, crashpoints.VARIABLE: setting, "PYTHONPATH": str(ROOT)},
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    acknowledged = done.stdout.count(b"ack")
    assert acknowledged >= 1
    async with open_node(home, listen=LOOPBACK, mdns=False) as node:
        await node.seal()
        assert acknowledged <= node.replica.counts()["worknodes"] <= acknowledged + 1
        await create(node, "after")
        assert node.replica.counts()["worknodes"] >= acknowledged + 1


async def test_a_stranger_with_a_key_of_its_own_gets_nothing(tmp_path: Path) -> None:
    """It can finish the handshake, since keys are free; it is no member, and is shown the door."""
    from mesh.core.inputs import LinkClosed, LinkOpened, Received
    from tests.mesh.node.helpers import End

    home = founded(tmp_path / "a")
    async with open_node(home, listen=LOOPBACK, mdns=False) as alpha:
        stranger = End.of(9, alpha.mesh_id)
        async with trio.open_nursery() as nursery:
            await nursery.start(stranger.links.run, [])
            stranger.links.connect(alpha.listen_addresses[0], None)
            opened = await stranger.first(LinkOpened)
            stranger.links.send(opened.link, b"\x00garbage")
            await stranger.first(LinkClosed)
            nursery.cancel_scope.cancel()
        await alpha.submit([Create(root_worknode(alpha.mesh_id), "task", nonce=bytes(16))])
        assert alpha.status()["writing"] == "ok"
        assert sum(len(item.data) for item in stranger.all(Received)) < 4096


def test_the_writer_runs_without_a_crash_point(tmp_path: Path) -> None:
    home = founded(tmp_path / "a")
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(home), "eventual"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout.count(b"ack")) == (0, 10), done.stderr.decode()
