"""A log that has ended: its node says so, and answers no write that no peer would ever take."""

from __future__ import annotations

import pytest

from capability.bodies import LIMIT_AUTHORITY_SEQ, LIMIT_VOID_SUFFIX, PinRow
from capability.entry import LANE_AUTHORITY, Entry
from capability.ids import root_worknode
from mesh.core.effects import Effect
from mesh.core.errors import Precondition
from mesh.core.inputs import LOCAL, IssueGrant
from mesh.core.writes import Create, SetRegister
from mesh.replica import writer
from mesh.replica.recovery import WAIT_FOR_ONE
from mesh.replica.reissue import Reissue
from mesh.replica.standing import ENDED, FULL
from mesh.replica.writer import Submitted
from tests.mesh.replica.checks import observer
from tests.mesh.replica.hand import hand, root_hand
from tests.mesh.replica.world import Node, new_mesh, node_of

DEAD_MAX = 5


class Orphan:
    """
    Bob's node, whose grants have gone with a fork of Ann's authority log.

    It has written as much as ends a log, and *again* lets it in once more.
    """

    def __init__(self, writes: int = DEAD_MAX) -> None:
        self.mesh = new_mesh(limits=((LIMIT_VOID_SUFFIX, DEAD_MAX),))
        self.root, self.ann, bob = (
            root_hand(self.mesh),
            hand(self.mesh, "ann"),
            hand(self.mesh, "b"),
        )
        entries = [self.root.grant(self.ann)]
        twin = self.ann.twin()
        self.granted = self.ann.grant(bob)
        self.node: Node = node_of(self.mesh, bob.signer, [*entries, self.granted])
        top = root_worknode(self.mesh.id)
        made = self.node.write(Create(top, "task", shared_key=b"t"))
        assert isinstance(made, Submitted)
        self.task = made.created[0]
        for value in range(1, writes):
            self.node.write(self.field(value))
        self.node.write(self.field("row"), level=LOCAL)
        self.fork = twin.grant(b"\1" * 32)
        self.node.receive([self.fork])
        self.bob = bob

    def field(self, value: int | str) -> SetRegister:
        return SetRegister(self.task, 0, "f", value)

    def again(self) -> Entry:
        grant = self.root.grant(self.bob.author)
        self.node.receive([grant])
        return grant

    def seal(self) -> list[Effect]:
        effects = self.node.replica.seal_pending(self.node.now)
        self.node.run(effects + self.node.replica.seal())
        return effects


@pytest.mark.parametrize("level", ["EVENTUAL", "LOCAL"])
def test_nothing_is_answered_that_no_peer_would_take(level: str) -> None:
    orphan = Orphan()
    orphan.again()
    before = len(orphan.node.log())
    with pytest.raises(Precondition, match="log has ended") as refused:
        orphan.node.write(orphan.field("new"), level=level)
    assert refused.value.hint == "run `mesh doctor`"
    assert orphan.node.replica.writer.bar() == ENDED
    assert len(orphan.node.log()) == before
    # Its authority log has not: it may still invite.
    request = IssueGrant(1, b"\1" * 32, 0, (root_worknode(orphan.mesh.id),), 1, 8, 2**46)
    effects, _ = orphan.node.replica.issue_grant(request, orphan.node.now)
    orphan.node.run(effects)
    seen = observer(orphan.mesh)
    seen.receive(orphan.node.log()[1:])
    assert seen.replica.frontier_hash() == orphan.node.replica.frontier_hash()


def test_one_dead_entry_fewer_ends_nothing() -> None:
    orphan = Orphan(DEAD_MAX - 1)
    orphan.again()
    # Its task has gone with its grant.
    reply = orphan.node.write(Create(root_worknode(orphan.mesh.id), "task", shared_key=b"new"))
    assert isinstance(reply, Submitted)
    seen = observer(orphan.mesh)
    seen.receive(orphan.node.log()[1:])
    assert reply.entry in seen.replica.table.number
    assert seen.replica.state_hash() == orphan.node.replica.state_hash()


def test_rows_wait_and_go_on_when_the_log_does() -> None:
    orphan = Orphan()
    orphan.again()
    replica = orphan.node.replica
    replica.pending.due_ms = orphan.node.now.mono_ms
    assert orphan.seal() == [] and replica.pending.due_ms is None
    assert replica.counts()["pending"] == 1
    # The branch with the grant to Bob is the one that stands, so nothing of his was dead.
    orphan.node.receive([orphan.root.pin(orphan.granted)])
    assert replica.writer.bar() == ""
    assert replica.pending.due_ms == orphan.node.now.mono_ms
    assert orphan.seal() and replica.counts()["pending"] == 0
    seen = observer(orphan.mesh)
    seen.receive(orphan.node.log()[1:])
    assert seen.replica.state_hash() == replica.state_hash()


def test_rows_are_kept_over_a_restart() -> None:
    orphan = Orphan()
    orphan.again()
    orphan.node.reload()
    orphan.seal()
    assert orphan.node.replica.writer.bar() == ENDED
    assert orphan.node.replica.counts()["pending"] == 1
    # What was found is sealed once a peer has spoken, and then, too, only in a log that goes on.
    orphan.node.replica.check_heads([None, None])
    orphan.node.replica.found.release()
    orphan.seal()
    assert orphan.node.replica.counts()["pending"] == 1


def test_without_rows_nothing_is_due_when_the_log_goes_on() -> None:
    orphan = Orphan()
    orphan.node.replica.pending.drop(list(orphan.node.replica.pending.rows))
    orphan.node.replica.pending.due_ms = None
    orphan.node.receive([orphan.root.pin(orphan.granted)])
    assert orphan.node.replica.pending.due_ms is None


def test_a_pen_that_has_none_says_nothing_again() -> None:
    orphan = Orphan()
    orphan.again()
    replica = orphan.node.replica
    kept = [e for e in orphan.node.log() if e.header.author == orphan.bob.author]
    reissue = Reissue(replica.held, replica.writer, WAIT_FOR_ONE, kept, frozenset())
    assert not reissue.is_due([b"\2" * 32], orphan.node.now)


def full(room: int) -> Node:
    """A member whose authority log takes *room* entries more."""
    mesh = new_mesh(limits=((LIMIT_AUTHORITY_SEQ, 4),))
    root, bob = root_hand(mesh), hand(mesh, "b")
    node = node_of(mesh, bob.signer, [root.grant(bob)])
    for _ in range(4 - room):
        invite(node)
    return node


def invite(node: Node) -> None:
    top = root_worknode(node.replica.mesh_id)
    request = IssueGrant(1, b"\1" * 32, 0, (top,), 1, 8, 2**46)
    effects, _ = node.replica.issue_grant(request, node.now)
    node.run(effects)


def test_a_full_authority_log_gives_no_grant_and_no_pin_and_sessions_act_by_the_nodes() -> None:
    node = full(0)
    with pytest.raises(Precondition, match="as many grants and pins as it may"):
        invite(node)
    assert node.replica.writer.bar(LANE_AUTHORITY) == FULL and node.replica.writer.bar() == ""
    rows = [PinRow(bytes([number]) * 32, (1, b"\1" * 32), None) for number in range(3)]
    assert node.replica.writer.pin(rows, b"", node.now) == []
    top = root_worknode(node.replica.mesh_id)
    reply = node.write(Create(top, "task", shared_key=b"t"), session="one")
    assert isinstance(reply, Submitted)
    assert {e.header.lane for e in node.log() if e.id == reply.entry} == {1}
    assert node.replica.writer.standing.tip(LANE_AUTHORITY)[0] == 4


def test_the_last_entry_of_an_authority_log_may_be_any(monkeypatch: pytest.MonkeyPatch) -> None:
    invite(full(1))
    node = full(1)
    top = root_worknode(node.replica.mesh_id)
    node.write(Create(top, "task", shared_key=b"t"), session="one")
    assert node.replica.writer.standing.tip(LANE_AUTHORITY)[0] == 4
    # Of more rows than one pin takes, and only one may be signed, the first are.
    monkeypatch.setattr(writer, "PIN_ROWS_MAX", 2)
    node = full(1)
    rows = [PinRow(bytes([number]) * 32, (1, b"\1" * 32), None) for number in range(3)]
    node.run(node.replica.writer.pin(rows, node.replica.writer.standing.membership(), node.now))
    assert node.replica.writer.standing.tip(LANE_AUTHORITY)[0] == 4
