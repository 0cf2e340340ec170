"""Grants that this node issues: to its own sessions, and to others."""

from __future__ import annotations

import pytest

from capability import permissions
from capability.bodies import CAVEAT_CHILD_PERMS, CAVEAT_GRANTS, SESSION, Scope
from capability.entry import KIND_DATA
from capability.limits import NEVER_MS
from crdt.codec import encode
from mesh.core.effects import Persist, Reply, Send
from mesh.core.errors import BackPressure, Denied
from mesh.core.inputs import LOCAL, IssueGrant
from mesh.core.records import PutEntry
from mesh.core.writes import (
    Append,
    Create,
    SetRegister,
)
from tests.mesh.replica.desk import Desk, entries_of, field_of
from tests.mesh.replica.hand import hand, put
from tests.mesh.replica.world import node_of


def test_a_session_gets_one_grant_for_each_of_the_nodes_that_it_uses() -> None:
    desk = Desk()
    desk.node.receive([desk.root.grant(desk.bob.author, perms=permissions.ALL ^ permissions.WRITE)])
    for _ in range(2):
        desk.node.write(field_of(desk, "a"), session="agent")
        desk.node.write(SetRegister(desk.task, 6, "setting", 1), session="agent")
    grants = [a for _, a in desk.node.replica.held.ledger.grants_to(desk.bob.author)]
    assert [a.akind for a in grants].count(SESSION) == 2
    desk.agrees()


def test_what_this_node_issues_is_its_own_on_disk() -> None:
    desk = Desk()
    request = IssueGrant(1, b"\1" * 32, 0, (desk.task,), permissions.READ, 8, NEVER_MS)
    effects, _ = desk.node.replica.issue_grant(request, desk.node.now)
    records = [r for e in effects if isinstance(e, Persist) for r in e.records]
    assert [r.own for r in records if isinstance(r, PutEntry)] == [True]


@pytest.mark.parametrize(
    "caveat", [(CAVEAT_CHILD_PERMS, permissions.READ), (CAVEAT_GRANTS, 0)], ids=str
)
def test_where_no_session_grant_can_be_made_the_nodes_own_serves(caveat: tuple[int, int]) -> None:
    desk = Desk()
    carol = hand(desk.mesh, "carol")
    grant = desk.root.grant(carol, caveats=(caveat,))
    node = node_of(desk.mesh, carol.signer, [*desk.node.log()[1:], grant])
    for at in range(2):
        node.write(SetRegister(desk.task, 0, "f", at), session="agent")
    assert [e.header.kind for e in node.log()[-2:]] == [KIND_DATA, KIND_DATA]
    with pytest.raises(Denied):
        node.replica.issue_grant(
            IssueGrant(1, b"\1" * 32, 0, (desk.top,), permissions.WRITE, 8, NEVER_MS), node.now
        )


def test_the_grant_made_for_a_local_write_shows_in_the_frontier() -> None:
    desk = Desk()
    effects = desk.submit(field_of(desk, "a"), level=LOCAL, session="agent")
    desk.node.run(effects + desk.node.replica.seal())
    before = desk.node.replica.port.roots()
    assert desk.node.replica.port.row(desk.bob.author, 0).seq == 1
    desk.node.reload()
    assert desk.node.replica.port.roots() == before


def test_sessions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.replica.standing.SESSIONS_MAX", 1)
    desk = Desk()
    desk.node.write(field_of(desk, "a"), session="one")
    with pytest.raises(BackPressure):
        desk.submit(field_of(desk, "a"), session="two")
    desk.node.write(field_of(desk, "a", 2), session="one")


def test_an_own_grant_lets_in_what_waited_for_it() -> None:
    desk = Desk()
    carol = hand(desk.mesh, "carol")
    perms = permissions.READ | permissions.WRITE
    scopes = (Scope(0, ((1, b"task"),), desk.task),)
    twin = desk.node.replica
    effects, grant_id = twin.issue_grant(
        IssueGrant(1, carol.author, 0, (desk.task,), perms, 8, NEVER_MS), desk.node.now
    )
    issued = next(e for e in entries_of(effects) if e.id == grant_id)
    assert issued.body[:40] and scopes[0].id == desk.task
    # The same grant made after its audience's first entry has come.
    desk = Desk()
    early = carol.data(put(desk.task, "f", "early"), leaf=grant_id)
    desk.node.receive([early])
    assert desk.node.replica.counts()["waiting"] == 1
    effects, again = desk.node.replica.issue_grant(
        IssueGrant(1, carol.author, 0, (desk.task,), perms, 8, NEVER_MS), desk.node.now
    )
    desk.node.run(effects)
    assert again == grant_id
    assert desk.node.replica.counts()["waiting"] == 0
    assert desk.value("f") == "early"
    # Whoever gave it may have given it to this node alone.
    assert [entry.id for entry in desk.node.replica.take_fresh()][-2:] == [grant_id, early.id]
    desk.agrees()


def test_the_reply_needs_no_send() -> None:
    desk = Desk()
    effects = desk.submit(field_of(desk, "row"), level=LOCAL)
    assert [type(e) for e in effects] == [Persist, Reply]
    effects = desk.submit(field_of(desk, "a")) + desk.node.replica.seal()
    assert any(isinstance(e, Reply) and e.error is None for e in effects)
    assert not any(isinstance(e, Send) for e in effects)


def test_appends_and_values_are_encoded_as_they_were_given() -> None:
    desk = Desk()
    desk.node.write(Append(desk.task, 0, "log", (0, 1, "two")))
    assert encode((0, 1, "two")) in desk.node.log()[-1].body


def test_a_session_does_not_rename_its_node() -> None:
    desk = Desk()
    root = node_of(desk.mesh, desk.root.signer, [])
    root.write(Create(desk.top, "task", shared_key=b"made by an agent"), session="agent")
    assert root.replica.held.ledger.grants_to(desk.root.author)
    assert root.replica.label(desk.root.author) == ""
