"""The pen: grouping, all or nothing, a home that may not write."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve

from capability import permissions
from capability.bodies import CAVEAT_SEQ
from capability.entry import KIND_DATA, KIND_GRANT
from capability.ids import TRASH, worknode_id
from capability.limits import NEVER_MS
from mesh.core.effects import Log, Persist, Reply
from mesh.core.errors import Denied, NotFound, Precondition, StorageError, UsageError
from mesh.core.inputs import EVENTUAL, LOCAL, IssueGrant, Submit
from mesh.core.records import PutEntry, PutMeta
from mesh.core.writes import (
    AddToSet,
    Create,
    Increment,
    Move,
    RemoveFromSet,
    SetMulti,
    SetRegister,
    Write,
)
from mesh.replica.writer import Submitted
from tests.mesh.replica.desk import Desk, entries_of, field_of
from tests.mesh.replica.hand import create, hand, put
from tests.mesh.replica.oracle import shown
from tests.mesh.replica.world import TODAY_MS, new_mesh, node_of

# -- groups ---------------------------------------------------------------------------------------


def test_writes_of_one_session_share_an_entry_and_are_answered_after_it() -> None:
    desk = Desk()
    assert desk.submit(field_of(desk, "a")) == []
    assert desk.submit(field_of(desk, "b")) == []
    effects = desk.node.replica.seal()
    assert [type(e) for e in effects][:3] == [Persist, Reply, Reply]
    (entry,) = entries_of(effects)
    last = desk.node.replica.table.last
    assert effects[0] == Persist((PutEntry(last, entry, (desk.task,), own=True),))
    assert [e.request for e in effects if isinstance(e, Reply)] == [101, 102]
    desk.node.run(effects)
    assert desk.node.replica.table.number[entry.id] == desk.node.replica.table.last
    desk.agrees()


def test_another_session_or_leaf_begins_another_entry() -> None:
    desk = Desk()
    desk.node.receive([desk.root.grant(desk.bob.author, perms=permissions.ADMIN)])
    effects = desk.submit(field_of(desk, "a"))
    effects += desk.submit(SetRegister(desk.task, 6, "setting", 1))
    effects += desk.submit(field_of(desk, "b"), session="agent")
    effects += desk.submit(field_of(desk, "c"), session="agent")
    effects += desk.node.replica.seal()
    kinds = [entry.header.kind for entry in entries_of(effects)]
    assert kinds == [KIND_DATA, KIND_DATA, KIND_GRANT, KIND_DATA]
    leaves = [entry.header.leaf for entry in entries_of(effects)]
    assert len(set(leaves)) == 3 and leaves[3] == entries_of(effects)[2].id
    desk.node.run(effects)
    desk.agrees()


def test_a_write_sees_those_before_it_in_the_same_submit() -> None:
    desk = Desk()
    child = Create(desk.top, "task", shared_key=b"child")
    node = worknode_id(desk.top, 1, b"child")
    desk.node.write(
        child,
        Create(node, "task", shared_key=b"grandchild"),
        AddToSet(node, 0, "s", "x"),
        AddToSet(node, 0, "s", "y"),
        RemoveFromSet(node, 0, "s", "x"),
        SetMulti(node, 0, "m", 1),
        SetMulti(node, 0, "m", 2),
        Increment(node, 0, "n", 2),
        Move(node, desk.task, b"\x40"),
        Move(desk.task, TRASH),
        child,
    )
    store = desk.node.replica.store
    live = {
        name: [value for _, value in store.cell(node, (0, name, kind)).dots.values()]
        for name, kind in (("s", 5), ("m", 4))
    }
    assert live == {"s": ["y"], "m": [2]}
    assert store.parent(node) == desk.task and store.parent(desk.task) == TRASH
    desk.agrees()


def test_nothing_is_written_when_nothing_changes() -> None:
    desk = Desk()
    before = desk.node.replica.table.last
    reply = desk.node.write(Create(desk.top, "task", shared_key=b"task"))
    assert isinstance(reply, Submitted) and reply.created == (desk.task,) and reply.entry == b""
    desk.node.write(RemoveFromSet(desk.task, 0, "s", "never there"))
    assert desk.node.replica.table.last == before


def test_large_groups_stay_below_the_size_of_an_entry() -> None:
    desk = Desk()
    for at in range(6):
        effects = desk.submit(field_of(desk, f"f{at}", "x" * 60_000), level=LOCAL)
        desk.node.run(effects)
    for at in range(600):
        effects = desk.submit(SetMulti(desk.task, 0, f"m{at % 3}", at))
        desk.node.run(effects)
    desk.node.run(desk.node.replica.seal())
    many = [Create(desk.top, "k" * 100, shared_key=b"%064d" % at) for at in range(1000)]
    with pytest.raises(UsageError, match="in one submit"):
        desk.submit(*many)
    desk.node.write(*many[:500])
    desk.agrees()


def test_what_is_submitted_adds_up_to_the_size_of_a_group() -> None:
    desk = Desk()
    effects = []
    for at in range(12):
        effects += desk.submit(field_of(desk, f"f{at}", "x" * 20_000))
    effects += desk.node.replica.seal()
    assert len(entries_of(effects)) == 4
    desk.node.run(effects)
    desk.agrees()


def test_a_submit_may_be_as_large_as_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    write = field_of(desk, "f", "x" * 1_000)
    desk.submit(write)
    group = desk.node.replica.writer.group
    assert group is not None
    largest = group.size
    monkeypatch.setattr("mesh.replica.writer.SUBMIT_BYTES_MAX", largest)
    desk.submit(write)
    with pytest.raises(UsageError, match=f"{largest + 1} bytes in one submit"):
        desk.submit(field_of(desk, "f", "x" * 1_001))


def test_a_submit_of_nothing_has_no_stamp() -> None:
    desk = Desk()
    assert desk.node.write(level=LOCAL) == Submitted((), 0)


# -- all or nothing -------------------------------------------------------------------------------

BAD: list[tuple[type[Exception], Callable[[Desk], Write]]] = [
    (NotFound, lambda d: SetRegister(b"\7" * 16, 0, "f", 1)),
    (UsageError, lambda d: SetRegister(d.task, 0, "", 1)),
    (UsageError, lambda d: SetRegister(d.task, 0, "\ud800", 1)),
    (UsageError, lambda d: SetRegister(d.task, 0, "f", "\ud800")),
    (UsageError, lambda d: SetRegister(d.task, 0, "f", "x" * 70_000)),
    (UsageError, lambda d: SetRegister(d.task, 0, "f", 1 << 63)),
    (UsageError, lambda d: SetRegister(d.task, 99, "f", 1)),
    (UsageError, lambda d: SetRegister(d.task, 0, "f", 1.5)),  # type: ignore[arg-type]
    (UsageError, lambda d: Increment(d.task, 0, "f", 1 << 63)),
    (UsageError, lambda d: Create(d.top, "\ud800", shared_key=b"k")),
    (UsageError, lambda d: Create(d.top, "task", shared_key=b"k", schema=1 << 63)),
    (UsageError, lambda d: Create(d.top, "task", shared_key=b"k" * 65)),
    (Precondition, lambda d: Move(d.task, d.task)),
    (Precondition, lambda d: Move(d.top, d.task)),
    (Denied, lambda d: SetRegister(d.task, 6, "f", 1)),
    (Denied, lambda d: SetRegister(d.task, 5, "f", 1)),
]


@pytest.mark.parametrize("at", range(len(BAD)))
def test_a_submit_that_fails_changes_nothing(at: int) -> None:
    desk = Desk()
    desk.node.run(desk.submit(field_of(desk, "waits"), level=LOCAL))
    replica = desk.node.replica
    before = (
        shown(replica),
        replica.state_hash(),
        replica.counts(),
        dict(replica.store.births),
        dict(replica.store.worknodes),
        dict(replica.pending.rows),
        replica.held.clock.last,
    )
    error, make = BAD[at]
    new = Create(desk.top, "task", shared_key=b"new")
    with pytest.raises(error):
        desk.submit(new, field_of(desk, "a"), make(desk), session="fresh session")
    assert before == (
        shown(replica),
        replica.state_hash(),
        replica.counts(),
        dict(replica.store.births),
        dict(replica.store.worknodes),
        dict(replica.pending.rows),
        replica.held.clock.last,
    )
    assert replica.writer.group is None
    # What came before in the same batch is not touched either.
    desk.submit(field_of(desk, "kept"))
    with pytest.raises(error):
        desk.submit(field_of(desk, "lost"), make(desk))
    desk.node.run(desk.node.replica.seal())
    assert desk.value("kept") == 1
    assert replica.store.cell(desk.task, (0, "lost", 3)) is None
    desk.agrees()


def test_a_name_of_a_session_that_no_disk_row_could_hold_is_refused() -> None:
    desk = Desk()
    for name in ("x" * 129, "\ud800"):
        with pytest.raises(UsageError):
            desk.submit(field_of(desk, "a"), level=LOCAL, session=name)


def test_a_birth_that_was_only_planned_is_not_known() -> None:
    # Else this node alone would find the birth path of what others do below it.
    desk = Desk()
    wanted = create(desk.top, shared=b"new")
    with pytest.raises(Denied):
        desk.submit(
            Create(desk.top, "task", shared_key=b"new"), SetRegister(desk.task, 6, "setting", 1)
        )
    desk.node.receive([desk.root.data(put(wanted.node, "f", 1))])
    assert desk.node.replica.counts()["undecided"] == 1
    desk.agrees()


def test_a_failed_commit_leaves_nothing() -> None:
    desk = Desk()
    before = desk.node.replica.state_hash()
    effects = desk.submit(field_of(desk, "row"), level=LOCAL)
    effects += desk.submit(field_of(desk, "a"), session="agent") + desk.node.replica.seal()
    desk.node.store.fail_next_commit()
    with pytest.raises(StorageError):
        desk.node.run(effects)
    desk.node.reload()
    assert desk.node.replica.state_hash() == before
    assert desk.node.replica.counts()["pending"] == 0
    desk.node.write(field_of(desk, "a", 2))
    desk.agrees()


# -- what will not count --------------------------------------------------------------------------


def test_an_own_entry_that_will_not_count_is_not_in_the_state() -> None:
    desk = Desk(new_mesh("short"))
    carol = hand(desk.mesh, "carol")
    grant = desk.root.grant(carol, exp_ms=TODAY_MS + 30_000)
    node = node_of(desk.mesh, carol.signer, [*desk.node.log()[1:], grant])
    write = SetRegister(desk.task, 0, "f", "late")
    node.write(write, level=LOCAL)
    before = node.replica.state_hash()
    # The machine slept.
    node.tick(40_000)
    effects = node.replica.seal_pending(node.now)
    said = [(e.level, e.event, dict(e.fields)) for e in effects if isinstance(e, Log)]
    node.run(effects)
    own = node.log()[-1]
    denied = "this would not count anywhere: this node holds no grant that counts"
    assert said == [
        ("warning", "write.will_not_count", {"field": "f", "reason": denied}),
        ("warning", "entry.will_not_count", {"entry": own.id.hex(), "reason": "expired"}),
    ]
    assert node.replica.state_hash() == before
    node.reload()
    assert node.replica.state_hash() == before
    with pytest.raises(Denied):
        node.write(write)


def test_a_home_whose_log_has_forked_does_not_write_on() -> None:
    desk = Desk()
    first, second = (desk.bob.twin().data(put(desk.task, "f", at)) for at in (1, 2))
    own = desk.node.log()[-1]
    desk.node.write(field_of(desk, "row"), level=LOCAL)
    other = min(first, second, key=lambda e: e.id == own.id)
    _, effects, _ = desk.node.replica.receive_proof(
        own.signed_header, other.signed_header, desk.node.now
    )
    desk.node.run(effects)
    with pytest.raises(Precondition, match="forked"):
        desk.node.write(field_of(desk, "a"))
    # What was acknowledged goes into the log all the same, where it shows as void.
    before = desk.node.replica.state_hash()
    desk.node.run(desk.node.replica.seal_pending(desk.node.now))
    assert desk.node.replica.counts()["pending"] == 0
    assert desk.node.replica.state_hash() == before
    desk.node.reload()
    assert desk.node.replica.state_hash() == before


def test_a_restored_home_is_blocked_by_its_peers_heads() -> None:
    desk = Desk()
    replica = desk.node.replica
    own = desk.node.log()[-1].signed_header
    assert replica.check_heads([None, own]) == "" and not replica.writer.blocked
    assert replica.check_heads([own, None]) == "not my header"
    foreign = desk.mesh.genesis.signed_header
    assert replica.check_heads([foreign, None]) == "not my header" and not replica.writer.blocked
    forged = evolve(own, signature=bytes(64))
    assert replica.check_heads([None, forged]) == "not my header" and not replica.writer.blocked
    newer = desk.bob.data(put(desk.task, "f", 1)).signed_header
    desk.node.run(desk.submit(field_of(desk, "row"), level=LOCAL))
    assert "restored" in replica.check_heads([None, newer])
    with pytest.raises(Precondition):
        desk.submit(field_of(desk, "a"))
    with pytest.raises(Precondition):
        replica.issue_grant(
            IssueGrant(1, b"\1" * 32, 0, (desk.top,), 1, 8, NEVER_MS), desk.node.now
        )
    # That it may not write is on disk: a restart alone mends nothing.
    assert replica.finish() == [Persist((PutMeta("blocked", replica.writer.blocked.encode()),))]
    # The rows wait; sealing them would fork the log.
    assert replica.seal_pending(desk.node.now) == [] and replica.pending.due_ms is None
    assert replica.counts()["pending"] == 1


@pytest.mark.parametrize("first", ["row", "group"])
def test_what_is_sealed_first_does_not_push_a_write_beyond_its_grant(first: str) -> None:
    """It was acknowledged, and nothing of it was folded."""
    desk = Desk()
    cec = hand(desk.mesh, "cec")
    node = node_of(desk.mesh, cec.signer, desk.node.log()[1:])
    node.receive([desk.root.grant(cec, caveats=((CAVEAT_SEQ, 1),))])
    write = SetRegister(desk.task, 0, "f", first)
    request = Submit(1, (write,), LOCAL if first == "row" else EVENTUAL, "agent")
    effects = node.replica.submit(request, node.now)
    with pytest.raises(Denied, match="caveat 6"):
        node.replica.submit(Submit(2, (write,)), node.now)
    node.run(effects + node.replica.seal())
    assert not node.replica.held.fold.refused
    if first == "row":
        # A row elsewhere is sealed later.
        other = Submit(3, (SetRegister(desk.top, 0, "f", 1),))
        node.run(node.replica.submit(other, node.now) + node.replica.seal())
        assert node.log()[-1].header.seq == 1
        assert node.replica.counts()["pending"] == 1
