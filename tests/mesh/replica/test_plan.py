"""What of a submit is refused at the door, at each bound and one beyond it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from capability import ops
from capability.ids import CLASS_OWN, CLASS_SHARED, TRASH, own_key, worknode_id
from capability.limits import KEY_BYTES_MAX, KILLS_MAX, NAME_BYTES_MAX, POSITION_BYTES_MAX
from capability.ops import Op, WireDot
from crdt.codec import INT_MAX, encode
from mesh.core.errors import BackPressure, NotFound, Precondition, UsageError
from mesh.core.limits import TEXT_BYTES_MAX, TREE_DEPTH_MAX
from mesh.core.writes import (
    AddToSet,
    Append,
    Create,
    Increment,
    Move,
    RemoveFromSet,
    SetMulti,
    SetRegister,
    Write,
)
from mesh.replica.plan import Planner, check_text
from mesh.worknode.cells import Dot
from mesh.worknode.store import Birth
from tests.mesh.replica.desk import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def planner(desk: Desk) -> Planner:
    return Planner(desk.node.replica.store, desk.bob.author)


def check(desk: Desk, *writes: Write) -> None:
    planner(desk).check(writes)


def none(dots: Sequence[Dot]) -> tuple[WireDot, ...]:
    return ()


# Bounds.


def test_texts_are_bounded_in_bytes() -> None:
    check_text("name", "x" * NAME_BYTES_MAX)
    check_text("name", "", least=0)
    check_text("name", "x")
    for text in ("x" * (NAME_BYTES_MAX + 1), "ü" * (NAME_BYTES_MAX // 2 + 1), "", "\ud800"):
        with pytest.raises(UsageError, match="name"):
            check_text("name", text)


def test_a_create_is_checked_in_every_part(desk: Desk) -> None:
    top = desk.top
    check(
        desk,
        Create(top, "task", shared_key=b"k" * KEY_BYTES_MAX, position=b"p" * POSITION_BYTES_MAX),
        Create(top, "task", nonce=bytes(16), schema=INT_MAX),
        Create(top, "x", shared_key=b"", schema=0),
    )
    for write, says in (
        (Create(top, "task", shared_key=b"k" * (KEY_BYTES_MAX + 1)), "key"),
        (Create(top, "task", shared_key=b"", position=bytes(POSITION_BYTES_MAX + 1)), "position"),
        (Create(top, "", shared_key=b""), "kind"),
        (Create(top, "task", shared_key=b"", schema=-1), "schema"),
        (Create(top, "task", shared_key=b"", schema=INT_MAX + 1), "schema"),
    ):
        with pytest.raises(UsageError, match=says):
            check(desk, write)
    with pytest.raises(NotFound):
        check(desk, Create(b"?" * 16, "task", shared_key=b""))


def test_a_tree_is_so_deep_and_no_deeper(desk: Desk) -> None:
    writes: list[Write] = []
    parent = desk.top
    for _ in range(TREE_DEPTH_MAX):
        writes.append(Create(parent, "task", shared_key=b"deep"))
        parent = worknode_id(parent, CLASS_SHARED, b"deep")
    check(desk, *writes)
    beyond = Create(parent, "task", shared_key=b"deep")
    with pytest.raises(BackPressure, match="max_depth_exceeded"):
        check(desk, *writes, beyond)
    desk.node.write(*writes)
    with pytest.raises(BackPressure, match="max_depth_exceeded") as caught:
        check(desk, beyond)
    assert caught.value.hint


def test_a_move_is_checked_in_every_part(desk: Desk) -> None:
    below = Create(desk.task, "task", shared_key=b"below")
    desk.node.write(below)
    node = worknode_id(desk.task, CLASS_SHARED, b"below")
    at = b"p" * POSITION_BYTES_MAX
    check(desk, Move(node, desk.top, at), Move(node, TRASH), Move(desk.task, TRASH))
    new = Create(desk.top, "task", shared_key=b"new")
    fresh = worknode_id(desk.top, CLASS_SHARED, b"new")
    check(desk, new, Move(fresh, node), Move(node, fresh))
    for error, write in (
        (UsageError, Move(node, desk.top, at + b"p")),
        (NotFound, Move(b"?" * 16, desk.top)),
        (NotFound, Move(node, b"?" * 16)),
        (Precondition, Move(desk.task, node)),
        (Precondition, Move(node, node)),
        (Precondition, Move(desk.top, TRASH)),
    ):
        with pytest.raises(error):
            check(desk, write)


def test_a_field_is_checked_in_every_part(desk: Desk) -> None:
    task = desk.task
    for ns in (0, 6):
        check(desk, SetRegister(task, ns, "f", None), Increment(task, ns, "n", 0))
    largest = "x" * (TEXT_BYTES_MAX - 3)
    assert len(encode(largest)) == TEXT_BYTES_MAX
    check(desk, SetRegister(task, 0, "f", largest))
    check(desk, Increment(task, 0, "n", INT_MAX), Increment(task, 0, "n", -INT_MAX))
    for says, write in (
        ("namespace", SetRegister(task, 7, "f", 1)),
        ("namespace", SetRegister(task, -1, "f", 1)),
        ("namespace", Increment(task, 7, "f", 1)),
        ("field name", SetRegister(task, 0, "", 1)),
        ("field name", Increment(task, 0, "", 1)),
        ("longer than", SetRegister(task, 0, "f", largest + "x")),
        ("field 'f'", SetRegister(task, 0, "f", ("no", "value"))),
        ("increment", Increment(task, 0, "n", 1 << 63)),
        ("increment", Increment(task, 0, "n", -(1 << 63))),
        ("increment", Increment(task, 0, "n", True)),
    ):
        with pytest.raises(UsageError, match=says):
            check(desk, write)
    for write in (SetRegister(b"?" * 16, 0, "f", 1), Increment(b"?" * 16, 0, "n", 1)):
        with pytest.raises(NotFound):
            check(desk, write)


# What writes amount to.


def test_births_are_by_a_shared_key_or_ones_own(desk: Desk) -> None:
    plan = planner(desk)
    shared = Create(desk.task, "task", shared_key=b"k")
    own = Create(desk.task, "task", nonce=b"n" * 16)
    key = own_key(desk.bob.author, b"n" * 16)
    assert plan.identify(shared) == (
        worknode_id(desk.task, CLASS_SHARED, b"k"),
        Birth(desk.task, CLASS_SHARED, b"k"),
    )
    node, birth = plan.identify(own)
    assert (node, birth) == (worknode_id(desk.task, CLASS_OWN, key), Birth(desk.task, 0, key))
    assert plan.birth(node) is None
    plan.check([own])
    assert plan.birth(node) == birth
    assert plan.birth(desk.task) == Birth(desk.top, CLASS_SHARED, b"task")


def test_each_write_is_one_operation_if_it_changes_anything(desk: Desk) -> None:
    task, plan = desk.task, planner(desk)
    new = Create(task, "kind", shared_key=b"k", schema=3, position=b"p")
    node = worknode_id(task, CLASS_SHARED, b"k")
    payloads: list[tuple[Write, Op | None]] = [
        (
            new,
            Op(1, 0, node, (), ops.Create(task, CLASS_SHARED, b"k", "kind", 3, ops.MODE_AP, b"p")),
        ),
        (Create(desk.top, "task", shared_key=b"task"), None),
        (Move(task, TRASH, b"p"), Op(2, 0, task, (), ops.Move(TRASH, b"p"))),
        (SetRegister(task, 1, "f", 5), Op(3, 0, task, (), ops.Register(1, "f", 5))),
        (SetMulti(task, 1, "f", 5), Op(4, 0, task, (), ops.MultiValue(1, "f", 5, ()))),
        (AddToSet(task, 1, "f", 5), Op(5, 0, task, (), ops.SetAdd(1, "f", 5, ()))),
        (RemoveFromSet(task, 1, "f", 5), None),
        (Increment(task, 1, "f", 5), Op(7, 0, task, (), ops.Increment(1, "f", 5))),
        (Append(task, 1, "f", 5), Op(8, 0, task, (), ops.Append(1, "f", 5))),
    ]
    for write, op in payloads:
        assert plan.operation(write, none) == op
    assert plan.created == [node, task]


def test_what_is_replaced_is_what_is_live_of_that_very_value(desk: Desk) -> None:
    task = desk.task
    desk.node.write(*(AddToSet(task, 0, "s", value) for value in (1, True, "1", b"1")))
    desk.node.write(SetMulti(task, 0, "m", "old"))
    taken: list[list[Dot]] = []

    def cite(dots: Sequence[Dot]) -> tuple[WireDot, ...]:
        taken.append(list(dots))
        return ((0, len(taken)),)

    plan = planner(desk)
    added = plan.operation(AddToSet(task, 0, "s", True), cite)
    removed = plan.operation(RemoveFromSet(task, 0, "s", 1), cite)
    several = plan.operation(SetMulti(task, 0, "m", "new"), cite)
    assert added is not None and added.payload == ops.SetAdd(0, "s", True, ((0, 1),))
    assert removed == Op(ops.OP_REMOVE, 0, task, (), ops.SetRemove(0, "s", ((0, 2),)))
    assert several is not None and several.payload == ops.MultiValue(0, "m", "new", ((0, 3),))
    live = plan.store.cell(task, (0, "s", 5)).dots  # type: ignore[union-attr]
    values = [[live[at][1] for at in dots] for dots in taken[:2]]
    assert values == [[True], [1]] and values[0][0] is True
    assert len(taken[2]) == 1
    assert plan.operation(RemoveFromSet(task, 0, "s", 2), cite) is None


def test_of_more_than_an_operation_may_kill_the_oldest_go_first(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.replica.plan.KILLS_MAX", 2)
    assert KILLS_MAX > 2
    twins = [desk.root.twin() for _ in range(3)]
    for number, twin in enumerate(twins):
        twin.leaf = b""
        op = Op(ops.OP_MULTI_VALUE, 0, desk.task, (), ops.MultiValue(0, "m", number, ()))
        desk.node.receive([desk.root.data(op)])
    taken: list[Dot] = []

    def cite(dots: Sequence[Dot]) -> tuple[WireDot, ...]:
        taken.extend(dots)
        return ()

    plan = planner(desk)
    plan.operation(SetMulti(desk.task, 0, "m", 9), cite)
    cell = plan.store.cell(desk.task, (0, "m", 4))
    assert taken == sorted(cell.dots)[:2]  # type: ignore[union-attr]


def test_a_draft_tells_what_its_citations_will_take(desk: Desk) -> None:
    task = desk.task
    desk.node.write(AddToSet(task, 0, "s", 1))
    desk.node.write(AddToSet(task, 0, "s", 2))
    writes = [RemoveFromSet(task, 0, "s", at) for at in (1, 2, 3)]
    found, size = planner(desk).draft(writes)
    assert [type(op.payload) for op in found] == [ops.SetRemove] * 2
    assert size == 7 * (2 + 3) + 34 * 2
    assert planner(desk).draft([SetRegister(task, 0, "f", 1)])[1] == 7
