"""A home that was restored from a back-up, or runs twice: detected, and led out of."""

from __future__ import annotations

from pathlib import Path

import pytest

from capability.ids import root_worknode
from capability.verdict import Verdict
from mesh.core.errors import Precondition
from mesh.node.node import Node
from mesh.node.repair import repair_home
from mesh.storage import Home, SqliteStore
from mesh.worknode.cells import LOG, DotCell
from tests.crash.homes import agree, is_member
from tests.worst.homes import copy_home, labelled, pair, tokens, until, up, write


async def blocked(home: Path, *peers: Node) -> str:
    """Meet the peers until the pen is stopped: why it is."""
    async with up(home, *peers) as node:
        await until(lambda: bool(node.replica.writer.blocked), "the pen is stopped")
        with pytest.raises(Precondition) as caught:
            await write(node, "refused")
        assert caught.value.hint == "run `mesh doctor`"
        return caught.value.message


async def test_restored_home_gets_its_own_entries_back_and_goes_on(tmp_path: Path) -> None:
    a, b = await pair(tmp_path)
    copy_home(b, tmp_path / "backup")
    async with up(a) as alpha:
        async with up(b, alpha) as beta:
            await write(beta, "after the back-up", session="new")
            before = await agree(alpha, beta)
        copy_home(tmp_path / "backup", b)
        assert "restored from a copy" in await blocked(b, alpha)
        # A restart alone mends nothing, whomever it meets.
        async with up(b) as beta:
            assert "restored from a copy" in beta.replica.writer.blocked
        cursor = _last_cursor(b)
        done = repair_home(Home(b))
        assert done.waits and done.kept == 0 and "restored" in done.reason
        async with up(b) as beta:
            waits = f"before it writes again it waits for {alpha.node_key.hex()[:8]} to say"
            assert waits in beta.replica.writer.blocked
            assert cursor > 0 and beta.replica.next_cursor == cursor + 1, "cursors never go back"
        async with up(b, alpha) as beta:
            await until(lambda: not beta.replica.writer.blocked, "it may write again")
            assert await agree(alpha, beta) == before
            await write(beta, "and on")
            await agree(alpha, beta)
            assert tokens(beta).count("after the back-up") == tokens(beta).count("and on") == 1
            assert alpha.replica.forked() == beta.replica.forked() == []
        assert repair_home(Home(b)).reason == ""


async def test_what_was_written_off_line_since_is_signed_anew(tmp_path: Path) -> None:
    a, b = await pair(tmp_path)
    copy_home(b, tmp_path / "backup")
    async with up(a) as alpha:
        async with up(b, alpha) as beta:
            await write(beta, "after the back-up", session="new")
            await agree(alpha, beta)
        copy_home(tmp_path / "backup", b)
        async with up(b) as beta:
            for number in range(3):
                # Sessions that the mesh knows, and some that it has never heard of.
                last = await write(beta, f"off line {number}", session=f"s{number}")
        assert "restored" in await blocked(b, alpha)
        done = repair_home(Home(b))
        assert done.kept >= 12 and done.aside is not None and done.aside.exists()
        again = repair_home(Home(b))
        assert again.waits and again.aside is None, "what was set aside stays"
        async with up(b, alpha) as beta:
            await until(lambda: not beta.replica.writer.blocked, "it may write again")
            await agree(alpha, beta)
            for node in (alpha, beta):
                held = tokens(node)
                for token in ["after the back-up", *(f"off line {n}" for n in range(3))]:
                    assert held.count(token) == 1, (token, held)
                    assert token in labelled(node)
                assert "gone" not in labelled(node), "removals name what they removed"
                assert node.replica.forked() == []
                verdicts = node.replica.table.verdicts[1 : node.replica.table.last + 1]
                assert set(verdicts) == {Verdict.COUNTS}
            cell = beta.replica.store.cell(*_notes(beta))
            assert isinstance(cell, DotCell)
            stamps = {hlc for hlc, _ in cell.dots.values()}
            assert last.hlc in stamps, "with the stamp at which it was written"
            await write(beta, "and on")
            await agree(alpha, beta)
        async with up(b, alpha) as beta:
            await agree(alpha, beta)
            assert beta.replica.writer.blocked == ""


def _notes(node: Node) -> tuple[bytes, tuple[int, str, int]]:
    return root_worknode(node.mesh_id), (0, "notes", LOG)


def _last_cursor(home: Path) -> int:
    with SqliteStore(Home(home).database_path) as store:
        return store.last_cursor()


async def test_it_waits_for_the_one_member_that_knows_more(tmp_path: Path) -> None:
    a, b, c = await pair(tmp_path, "b", "c")
    copy_home(b, tmp_path / "backup")
    # Only C hears of it; then A and the restored B meet without C.
    async with up(c) as gamma, up(b, gamma) as beta:
        await write(beta, "known to c alone")
        await agree(beta, gamma)
    async with up(a) as alpha, up(c) as gamma:
        copy_home(tmp_path / "backup", b)
        assert "restored" in await blocked(b, gamma)
        assert repair_home(Home(b)).waits
        async with up(b, alpha) as beta:
            await until(lambda: "waits for c to say" in beta.replica.writer.blocked, "names c")
            with pytest.raises(Precondition, match="waits for c to say"):
                await write(beta, "too early")
        async with up(b, alpha, gamma) as beta:
            await until(lambda: not beta.replica.writer.blocked, "it may write again")
            await agree(alpha, beta, gamma)
            assert tokens(alpha).count("known to c alone") == 1
            assert "too early" not in tokens(alpha)
            assert alpha.replica.forked() == []


async def test_word_of_one_member_is_taken_if_the_operator_says_so(tmp_path: Path) -> None:
    a, b, _ = await pair(tmp_path, "b", "c")
    copy_home(b, tmp_path / "backup")
    async with up(a) as alpha:
        async with up(b, alpha) as beta:
            await write(beta, "after the back-up")
            await agree(alpha, beta)
        copy_home(tmp_path / "backup", b)
        assert "restored" in await blocked(b, alpha)
        repair_home(Home(b), accept_absent=True)
        async with up(b, alpha) as beta:
            await until(lambda: not beta.replica.writer.blocked, "it may write again")
            await write(beta, "and on")
            await agree(alpha, beta)


async def test_cloned_home_is_noticed_and_the_clone_catches_up(tmp_path: Path) -> None:
    a, b = await pair(tmp_path)
    clone = tmp_path / "clone"
    copy_home(b, clone)
    async with up(a) as alpha:
        async with up(b, alpha) as beta:
            await write(beta, "by the original")
            await agree(alpha, beta)
            async with up(clone) as other:
                await is_member(other)
                await write(other, "by the clone, off line")
            # Both run; the one that meets the mesh second learns of the other.
            assert "the same home runs twice" in await blocked(clone, alpha)
            assert alpha.replica.forked() == []
        # The original is stopped for good; its copy takes its place, with the work of both.
        assert repair_home(Home(clone)).kept
        async with up(clone, alpha) as other:
            await until(lambda: not other.replica.writer.blocked, "it may write again")
            await agree(alpha, other)
            for token in ("by the original", "by the clone, off line"):
                assert tokens(alpha).count(token) == 1
            assert alpha.replica.forked() == []
