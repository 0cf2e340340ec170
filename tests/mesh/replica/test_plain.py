"""Entries of plain register writes are folded as a whole; op by op gives the same to the byte."""

from __future__ import annotations

from random import Random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from capability import permissions
from capability.bodies import CAVEAT_FIELDS, CAVEAT_SEQ
from capability.entry import Entry
from capability.ids import root_worknode
from capability.notary import data_of
from mesh.replica import fold, held, plain
from mesh.replica.fold import facts_of
from mesh.replica.plain import Coverage, PlainFold, fields_count
from mesh.worknode.store import Births
from tests.mesh.replica.hand import create, hand, put, root_hand
from tests.mesh.replica.stage import Stage
from tests.mesh.replica.world import Mesh, Node, new_mesh, node_of

PERMS = (permissions.ALL, permissions.MEMBER, permissions.READ | permissions.OWN, permissions.PLAN)
CAVEATS: tuple[tuple[tuple[int, object], ...], ...] = (
    (),
    ((CAVEAT_SEQ, 3),),
    ((CAVEAT_FIELDS, ("status", "title")),),
)


def told(random: Random) -> tuple[Mesh, list[Entry]]:
    mesh = new_mesh()
    root, author = root_hand(mesh), hand(mesh, "author")
    grant = root.grant(author, perms=random.choice(PERMS), caveats=random.choice(CAVEATS))
    top = create(b"\x00" * 16, shared=b"x").node
    made = [create(root_worknode(mesh.id), shared=b"%d" % i) for i in range(4)]
    made.append(create(root_worknode(mesh.id), own=(author.author, 1)))
    nodes = [op.node for op in made]
    entries = [grant, root.data(*made[:4]), author.data(made[4])]
    for _ in range(6):
        clean = random.random() < 0.5
        known = nodes if clean else [*nodes, top]
        listed = [
            put(
                random.choice(known),
                random.choice(("status", "title", "note")),
                random.choice(("a", "b", 1, True, None, b"x", (0, "list"))),
                ns=0 if clean else random.randrange(7),
                age=0 if random.random() < 0.7 else random.randrange(1 << 40),
            )
            for _ in range(random.randrange(1, 8))
        ]
        if random.random() < 0.3:
            listed.insert(random.randrange(len(listed)), made[random.randrange(5)])
        entries.append(author.data(*listed))
    return mesh, entries


class Never:
    """Leaves every entry to the operations."""

    def fold(self, *_: object) -> None:
        return None


def seen(node: Node) -> tuple[object, ...]:
    fold, store = node.replica.held.fold, node.replica.store
    records = {at: (r.updated, r.cells) for at, r in store.worknodes.items()}
    state = (node.replica.state_hash(), records, fold.refused, fold.waiting)
    return (*state, node.store.events(0, 9999))


@given(st.integers(0, 1 << 32))
def test_as_a_whole_is_as_one_by_one(number: int) -> None:
    mesh, entries = told(Random(number))
    whole, single = node_of(mesh, mesh.root), node_of(mesh, mesh.root)
    single.replica.held.fold._plain = Never()  # type: ignore[assignment]
    Random(number).shuffle(entries)
    for node in (whole, single):
        node.receive(entries)
    assert seen(whole) == seen(single)
    events = whole.store.events(0, 9999)
    assert [repr(e) for e in events] == [repr(e) for e in single.store.events(0, 9999)]


@pytest.mark.parametrize("number", range(20))
def test_what_was_remembered_may_be_forgotten_at_any_time(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh, entries = told(Random(number))
    roomy = node_of(mesh, mesh.root)
    roomy.receive(entries)
    monkeypatch.setattr(plain, "_COVERED_MAX", 1)
    monkeypatch.setattr(fold, "_ALLOWED_MAX", 1)
    monkeypatch.setattr(fold, "_ALLOWED_GRANTS_MAX", 1)
    monkeypatch.setattr(held, "_RECENT_MAX", 1)
    narrow = node_of(mesh, mesh.root)
    for entry in entries:
        narrow.receive([entry])
    assert seen(narrow) == seen(roomy)
    narrow.reload()
    assert narrow.replica.state_hash() == roomy.replica.state_hash()
    assert len(narrow.replica.held.recent) <= 1
    assert len(narrow.replica.held.fold._allowed) <= 1


# That this way is taken, where it may be: both give the same, but one costs ten times the other.


def test_what_lies_in_scope_is_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "_COVERED_MAX", 2)
    stage = Stage()
    made = [create(stage.top, shared=b"%d" % at) for at in range(3)]
    stage.node.receive([stage.root.data(*made)])
    births = stage.node.replica.store.judging_births()
    authority = stage.node.replica.held.ledger.authority(stage.bob.leaf, stage.bob.author)
    assert authority is not None
    one, two, three = (op.node for op in made)
    coverage = Coverage()
    assert not coverage.covers(authority, (b"?" * 16,), births)
    assert coverage.covers(authority, (one,), births)
    assert coverage.covers(authority, (one, two), births)
    # Without looking: of these births none leads there.
    nothing = Births(stage.top, {}, {})
    assert coverage.covers(authority, (two, one), nothing)
    assert not coverage.covers(authority, (one, three), nothing)
    assert coverage.covers(authority, (three,), births)
    assert coverage._covered == {stage.bob.leaf: {three}}
    # Of all grants together, since anybody may sign as many as he likes.
    others = [evolve(authority, leaf=bytes([number]) * 32) for number in range(5)]
    for other in others:
        assert coverage.covers(other, (one,), births)
        assert not coverage.covers(evolve(other, leaf=b"?"), (b"?" * 16,), births)
    assert coverage._covered == {other.leaf: {one} for other in others[-2:]}


def test_fields_count_if_each_of_them_is_permitted() -> None:
    stage = Stage()
    authority = stage.node.replica.held.ledger.authority(stage.bob.leaf, stage.bob.author)
    assert authority is not None
    for fields, may in (
        ({(0, "f"), (1, "g"), (2, "h")}, True),
        ({(0, "f"), (5, "own")}, False),
        ({(0, "f"), (6, "setting")}, False),
    ):
        assert fields_count(authority, fields, session=b"", seq=1) is may


def test_plain_writes_are_folded_as_a_whole_down_to_the_first_moment_of_all() -> None:
    stage = Stage()
    hlc = stage.bob.tips[1][2] + 1
    store, ledger = stage.node.replica.store, stage.node.replica.held.ledger
    authority = ledger.authority(stage.bob.leaf, stage.bob.author)
    assert authority is not None
    for age, fields in ((0, ["f", "g"]), (hlc, ["f", "g"]), (hlc + 1, None)):
        writes = put(stage.task, "f", 1, age=age), put(stage.task, "g", 2)
        entry = stage.bob.twin().data(*writes, hlc=hlc)
        data, n = data_of(entry), stage.node.replica.table.append(entry.id, entry.header)
        assert data is not None
        written = PlainFold(store).fold(facts_of(n, entry), data, authority, store.judging_births())
        assert (written and list(written)) == (fields and [(stage.task, f) for f in fields])


def test_an_entry_goes_this_way_if_all_of_it_is_folded() -> None:
    stage = Stage()
    seen: list[int] = []

    class Seeing(Never):
        def fold(self, *_: object) -> None:
            seen.append(1)

    fold = stage.node.replica.held.fold
    fold._plain = Seeing()  # type: ignore[assignment]
    stage.node.receive([stage.bob.data(put(stage.task, "f", 1))])
    assert len(seen) == 1
    fold.fold_again([stage.task])
    assert len(seen) == 1
