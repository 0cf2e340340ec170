"""A home that ran twice, or ahead of its time, goes on under a new key with the work of the old."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from capability.ids import root_worknode
from mesh.core.errors import Conflict, Precondition, UsageError
from mesh.core.inputs import LOCAL
from mesh.core.writes import Increment, SetRegister
from mesh.node.clock import OFFSET_VARIABLE, wall_ms
from mesh.node.node import Node
from mesh.node.rekey import rekey_home
from mesh.node.repair import repair_home
from mesh.storage import Home
from mesh.transport.tcp import text_of
from mesh.worknode.cells import COUNTER, REGISTER, CounterCell, RegisterCell
from tests.cli.machine import APART, Machine
from tests.crash.homes import agree, is_member, ticket_of
from tests.crash.rounds import ROOT
from tests.worst.homes import copy_home, labelled, pair, tokens, until, up, write


async def doubled(tmp_path: Path) -> tuple[Path, Path, Path, Path]:
    """
    B and its copy, which have both written and both been heard, each by another member.

    Returns:
        The homes of A, of C, of B and of B's copy.
    """
    a, b, c = await pair(tmp_path, "b", "c")
    copy = tmp_path / "copy"
    copy_home(b, copy)
    async with up(a) as alpha, up(b, alpha) as beta:
        await write(beta, "by the original", session="s")
        await agree(alpha, beta)
    async with up(c) as gamma, up(copy, gamma) as other:
        await write(other, "by the copy", session="s")
        await count(other, 5)
        await agree(gamma, other)
    return a, c, b, copy


async def count(node: Node, amount: int) -> None:
    await node.submit([Increment(root_worknode(node.mesh_id), 0, "spent", amount)])


def total(node: Node) -> int:
    cell = node.replica.store.cell(root_worknode(node.mesh_id), (0, "spent", COUNTER))
    return cell.total if isinstance(cell, CounterCell) else 0


async def said_again(node: Node, *peers: Node) -> None:
    await is_member(node)
    await until(lambda: not node.replica.reissue.is_active, "the work of the old key is said again")
    await agree(node, *peers)


async def test_work_of_a_doubled_home_is_said_again_by_a_new_key(tmp_path: Path) -> None:
    a, c, b, copy = await doubled(tmp_path)
    async with up(a) as alpha, up(c, alpha) as gamma:
        # A and C hold one branch each; when they meet everybody knows of the fork.
        await agree(alpha, gamma)
        await until(lambda: bool(alpha.replica.forked()), "the fork is proven")
        assert "by the original" not in tokens(alpha), "nothing after the fork counts"
        old = Home(copy).seed()
        async with up(copy, alpha):
            pass
        done = rekey_home(Home(copy), await ticket_of(alpha), wall_ms())
        assert done.stranded >= 5 and done.aside.exists()
        assert Home(copy).seed() != old
        async with up(copy, alpha, gamma) as other:
            assert other.node_key == done.node_key
            await said_again(other, alpha, gamma)
            for node in (alpha, gamma, other):
                assert tokens(node).count("by the copy") == 1
                assert "by the copy" in labelled(node) and "gone" not in labelled(node)
                assert total(node) == 5
                assert {f"b{n}" for n in range(3)} <= set(tokens(node)), "what counted before"
            await write(other, "and on")
            await agree(other, alpha, gamma)
            # Both copies do the same: the work of both is there once.
            rekey_home(Home(b), await ticket_of(alpha), wall_ms())
            async with up(b, alpha, gamma, other) as beta:
                await said_again(beta, alpha, gamma, other)
                for token in ("by the original", "by the copy", "and on"):
                    assert tokens(alpha).count(token) == 1
                assert total(alpha) == 5


async def test_loose_writes_keep_their_time_and_the_rest_is_stamped_now(tmp_path: Path) -> None:
    a, b = await pair(tmp_path)
    async with up(b) as beta:
        made = await write(beta, "off line")
        node = next(
            n
            for n, r in beta.replica.store.worknodes.items()
            if r.creates and "off line" in str(beta.replica.store.cell(n, (0, "title", REGISTER)))
        )
        before = beta.replica.store.cell(node, (0, "title", REGISTER))
        assert isinstance(before, RegisterCell)
        await beta.submit([SetRegister(node, 1, "row", "local")], level=LOCAL)
    async with up(a) as alpha:
        rekey_home(Home(b), await ticket_of(alpha), wall_ms())
        async with up(b, alpha) as beta:
            await said_again(beta, alpha)
            after = alpha.replica.store.cell(node, (0, "title", REGISTER))
            assert isinstance(after, RegisterCell)
            assert (after.hlc, after.value) == (before.hlc, "off line")
            creation = next(iter(alpha.replica.store.worknodes[node].creates.values()))
            assert creation.hlc > made.hlc
            row = alpha.replica.store.cell(node, (1, "row", REGISTER))
            assert isinstance(row, RegisterCell) and row.value == "local"
            assert alpha.replica.forked() == []


async def test_it_waits_for_each_member_before_it_says_what_is_stranded(tmp_path: Path) -> None:
    """C holds what the old key wrote, and is away: said again now, it would stand there twice."""
    a, c, b, copy = await doubled(tmp_path)
    async with up(a) as alpha:
        rekey_home(Home(copy), await ticket_of(alpha), wall_ms())
        async with up(copy, alpha) as other:
            await is_member(other)
            await agree(other, alpha)
            await until(lambda: bool(other.replica.reissue.met), "it has met A")
            assert other.replica.reissue.is_active
            assert other.status()["stranded"] == {
                "entries": len(other.replica.reissue.entries),
                "waits_for": ["c"],
            }
            # The new key may write meanwhile.
            await write(other, "in between")
            async with up(c, alpha) as gamma:
                await said_again(other, alpha, gamma)
                for token in ("by the original", "by the copy", "in between"):
                    assert tokens(gamma).count(token) <= 1
                assert tokens(gamma).count("by the copy") == 1
                assert total(gamma) == 5
    del b


async def test_one_members_word_will_do_if_the_operator_says_so(tmp_path: Path) -> None:
    a, _, _, copy = await doubled(tmp_path)
    async with up(a) as alpha:
        rekey_home(Home(copy), await ticket_of(alpha), wall_ms(), accept_absent=True)
        async with up(copy, alpha) as other:
            await said_again(other, alpha)
            assert tokens(alpha).count("by the copy") == 1


#: Less than the life of the grants, which are tested against stamps.
AHEAD_MS = 300_000
FUTURE = """
import sys
from pathlib import Path
import trio
from capability.ids import root_worknode
from mesh.core.inputs import LOCAL
from mesh.core.writes import Increment, SetRegister
from mesh.node.node import open_node
from mesh.transport.tcp import parse_address
from tests.worst.homes import write

async def main():
    peers = [parse_address(text) for text in sys.argv[2:] if text]
    async with open_node(Path(sys.argv[1]), listen=(), mdns=False, peers=peers) as node:
        root = root_worknode(node.mesh_id)
        await write(node, "from the future")
        await node.submit([Increment(root, 0, "spent", 7)])
        with trio.move_on_after(20):
            while peers and not any(peer["in_sync"] for peer in node.status()["peers"]):
                await trio.sleep(0.05)
        await node.submit([SetRegister(root, 1, "row", "x")], level=LOCAL)

trio.run(main)
"""


@pytest.mark.parametrize("is_sent", [True, False])
async def test_log_that_ran_ahead_is_ended_and_said_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_sent: bool
) -> None:
    a, b = await pair(tmp_path)
    async with up(a) as alpha:
        address = text_of(alpha.listen_addresses[0]) if is_sent else ""
        run = partial(
            trio.run_process,
            [sys.executable, "-c", FUTURE, str(b), address],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), OFFSET_VARIABLE: str(AHEAD_MS)},
        )
        await run()
        if is_sent:
            await until(lambda: alpha.replica.counts()["parked"] > 0, "parked")
            assert "from the future" not in tokens(alpha)
        rekey_home(Home(b), await ticket_of(alpha), wall_ms())
        async with up(b, alpha) as beta:
            await said_again(beta, alpha)
            assert tokens(alpha).count("from the future") == 1
            assert "from the future" in labelled(alpha)
            assert total(alpha) == 7
            assert beta.status()["clock"]
            assert beta.replica.held.clock.last >> 16 < wall_ms() + 60_000
            await write(beta, "at its time")
            await agree(alpha, beta)
            assert tokens(alpha).count("at its time") == 1
        before = alpha.replica.state_hash()
    # When that time has come, nothing comes to count a second time.
    monkeypatch.setattr("mesh.node.clock._offset_ms", AHEAD_MS + 120_000)
    async with up(a) as alpha:
        assert total(alpha) == 7
        assert tokens(alpha).count("from the future") == 1
        assert alpha.replica.state_hash() == before


async def test_change_of_key_that_was_cut_off_is_finished(tmp_path: Path) -> None:
    a, _, _, copy = await doubled(tmp_path)
    async with up(a) as alpha:
        ticket = await ticket_of(alpha)
    before = tmp_path / "before"
    copy_home(copy, before)
    done = rekey_home(Home(copy), ticket, wall_ms())
    # As after a crash when only the database was in its place.
    key = Home(copy).key_path
    key.rename(key.with_name("identity.key.next"))
    shutil.copyfile(done.old_key, key)
    key.chmod(0o600)
    mark = Home(copy).database_path.with_name("mesh.db.repairing")
    mark.write_text(f"{done.aside.name} key")
    assert repair_home(Home(copy)).reason == "a change of key was interrupted"
    async with up(a) as alpha, up(copy, alpha) as other:
        assert other.node_key == done.node_key
        await is_member(other)
        await agree(alpha, other)


async def test_steps_that_were_cut_off_go_on_where_they_stood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await pair(tmp_path)
    names = [f"off {number}" for number in range(12)]
    async with up(b) as beta:
        for name in names:
            await write(beta, name, session="s")
    async with up(a) as alpha:
        rekey_home(Home(b), await ticket_of(alpha), wall_ms())
        # The set's removals name additions that an earlier step has said.
        monkeypatch.setattr("mesh.replica.reissue.STEP_ENTRIES_MAX", 1)
        for stop in (2, 15, 30):
            async with up(b, alpha) as beta:
                reissue = beta.replica.reissue
                await until(lambda: reissue.done >= stop, "some are said again")  # noqa: B023
                assert reissue.is_active
        async with up(b, alpha) as beta:
            await said_again(beta, alpha)
            for name in names:
                assert tokens(alpha).count(name) == 1
            assert set(names) <= labelled(alpha) and "gone" not in labelled(alpha)
            assert alpha.replica.forked() == []


async def test_key_that_was_changed_twice_is_not_waited_for(tmp_path: Path) -> None:
    """The first of the two new keys never met anybody, and nobody ever will meet it."""
    a, b = await pair(tmp_path)
    async with up(b) as beta:
        await write(beta, "off line")
    async with up(a) as alpha:
        first = rekey_home(Home(b), await ticket_of(alpha), wall_ms())
        second = rekey_home(Home(b), await ticket_of(alpha), wall_ms())
        assert second.stranded == first.stranded > 0
        async with up(b, alpha) as beta:
            await said_again(beta, alpha)
            assert tokens(alpha).count("off line") == 1
            # Nor would a repair wait for it.
            assert set(beta.replica.recovery.absent()) <= {alpha.node_key}


async def test_what_is_refused_changes_nothing(tmp_path: Path) -> None:
    a, b = await pair(tmp_path)
    foreign, _ = await pair(tmp_path / "elsewhere")
    async with up(a) as alpha, up(foreign) as stranger:
        good, other = await ticket_of(alpha), await ticket_of(stranger)
    before = {p.name: p.read_bytes() for p in b.iterdir() if p.is_file()}
    with pytest.raises(UsageError):
        rekey_home(Home(b), good[:-3], wall_ms())
    with pytest.raises(Conflict, match="the ticket is for"):
        rekey_home(Home(b), other, wall_ms())
    with pytest.raises(Precondition, match="expired"):
        rekey_home(Home(b), good, wall_ms() + 86_400_000)
    assert {p.name: p.read_bytes() for p in b.iterdir() if p.is_file()} == before


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_two_running_copies_end_as_two_members(tmp_path: Path) -> None:
    """By the command, as a person does it: what both have written is there, once."""
    a, b, copy = (Machine(tmp_path / name) for name in ("a", "b", "copy"))
    place = ("--listen", f"127.0.0.1:{free_port()}", "--no-mdns")
    try:
        a.ok("init", "--name", "acme")
        a.ok("up", *place)
        b.ok("join", a.ok("invite")["ticket"], "--name", "b", *APART)
        b.ok("down")
        copy_home(b.home, copy.home)
        a.ok("down")
        for machine, title in ((b, "by b"), (copy, "by its copy")):
            machine.ok("up", *APART)
            machine.ok("create", title)
            machine.ok("update", machine.ok("list")[0]["id"], "--set", f"priority={len(title) % 5}")
        a.ok("up", *place)
        stopped = _wait_for(lambda: [m for m in (b, copy) if m.ok("status")["blocked"]])
        assert len(stopped) == 1, "whoever came second"
        (late,) = stopped
        found = late.run("doctor")
        assert found.returncode == 1 and "BAD  log" in found.stdout
        assert late.fails(2, "doctor", "--ticket", "x")["hint"].startswith("use it with")
        late.ok("down")
        old = late.ok("status")["node_id"]
        done = late.ok("doctor", "--repair", "--ticket", a.ok("invite")["ticket"])
        assert done["node_id"] != old and done["stranded"] >= 2
        assert Path(done["old_key"]).exists()
        assert "BAD  old key" in late.run("doctor").stdout
        late.ok("up", *APART)
        _wait_for(lambda: _titles(a) == ["by b", "by its copy"])
        for machine in (a, b, copy):
            _wait_for(lambda: _titles(machine) == ["by b", "by its copy"])  # noqa: B023
            assert machine.ok("status")["forked"] == []
        _wait_for(lambda: "old key" not in late.run("doctor").stdout)
        late.ok("create", "and on")
        _wait_for(lambda: "and on" in _titles(b))
    finally:
        for machine in (a, b, copy):
            machine.end()


def test_doctor_names_a_log_that_ran_ahead(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "a")
    machine.ok("init", "--name", "acme")
    machine.ok("create", "from the future", **{OFFSET_VARIABLE: str(3_600_000)})
    found = machine.run("doctor").stdout
    assert "BAD  stamps" in found and "in the future" in found
    assert "mesh doctor --repair --ticket" in found


def _titles(machine: Machine) -> list[str]:
    return sorted(row["title"] for row in machine.ok("list"))


def _wait_for(found: Callable[[], Any], seconds: float = 40.0) -> Any:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        if result := found():
            return result
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")
