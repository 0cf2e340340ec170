"""What one entry changed, as events: one for each Worknode and type, in the order of the entry."""

from __future__ import annotations

from capability import ops
from capability.ids import TRASH
from capability.ops import Op
from mesh.replica.drafts import Draft, EventDrafts, Facts
from tests.mesh.replica.hand import add, create, move, put

FACTS = Facts(7, b"i" * 32, b"a" * 32, 3, 99, b"l" * 32)
ONE, TWO = b"1" * 16, b"2" * 16


def draft(kind: str, node: bytes, data: object) -> Draft:
    return Draft(99, kind, node, b"a" * 32, b"s" * 16, data)  # type: ignore[arg-type]


def drafts() -> EventDrafts:
    return EventDrafts(FACTS, b"s" * 16)


def test_an_entry_that_changes_nothing_is_no_event() -> None:
    assert drafts().drafts() == []


def test_births_and_moves_come_each_by_itself_and_first() -> None:
    events = drafts()
    born = create(ONE, shared=b"k", kind="task")
    events.note(put(ONE, "f", 1))
    for op in (born, move(born.node, TWO), move(ONE, TRASH), move(born.node, TWO)):
        events.note(op)
    assert events.drafts() == [
        draft("node.created", born.node, "task"),
        draft("node.moved", born.node, TWO),
        draft("node.archived", ONE, TRASH),
        draft("node.moved", born.node, TWO),
        draft("node.updated", ONE, ("f",)),
    ]


def test_fields_of_a_worknode_are_told_together_and_once() -> None:
    events = drafts()
    for op in (put(TWO, "b", 1), put(ONE, "f", 1), add(TWO, "a", 1), put(TWO, "b", 2)):
        events.note(op)
    found = events.drafts()
    assert [(one.node, one.type) for one in found] == [
        (TWO, "node.updated"),
        (ONE, "node.updated"),
    ]
    assert [one.data for one in found] == [("b", "a"), ("f",)]


def test_plain_writes_are_told_as_if_each_were_noted() -> None:
    together, each = drafts(), drafts()
    written = [(TWO, "b"), (ONE, "f"), (TWO, "a"), (TWO, "b"), (ONE, "f")]
    together.note_fields(written)
    for node, name in written:
        each.note(put(node, name, 0))
    assert together.drafts() == each.drafts() != []
    for events in (together, each):
        events.note(put(ONE, "more", 0))
    assert together.drafts() == each.drafts()


def test_what_has_no_name_is_told_without() -> None:
    events = drafts()
    events.note(Op(ops.OP_CLAIM, 0, ONE, (), ops.Reserved(ops.OP_CLAIM, (1, 60))))
    assert [one.data for one in events.drafts()] == [("",)]
