"""What is held, while a commit is under way in another thread."""

from __future__ import annotations

from attrs import evolve

from capability.bodies import LIMIT_VOID_SUFFIX, Pin, PinRow
from capability.data_body import Data
from capability.entry import KIND_PIN, LANE_AUTHORITY, LANE_DATA, Entry
from capability.ids import root_worknode
from capability.notary import Notary, data_of
from capability.ops import NS_PLAIN
from crdt.hlc import pack
from mesh.core.effects import Persist
from mesh.core.inputs import EVENTUAL, Submit
from mesh.core.limits import SKEW_MS_MAX
from mesh.core.writes import SetRegister
from mesh.replica.replica import Replica
from tests.mesh.replica.checks import observer, situation
from tests.mesh.replica.hand import create, hand, put
from tests.mesh.replica.stage import Stage
from tests.mesh.replica.world import new_mesh, node_of


def test_an_entry_touches_once_whatever_has_come_of_its_commit() -> None:
    mesh = new_mesh()
    desk = node_of(mesh, mesh.root)
    root = root_worknode(mesh.id)
    desk.write(SetRegister(root, NS_PLAIN, "notes", "before"))
    before = desk.replica.held.touching(root)
    assert len(before) == 1

    write = SetRegister(root, NS_PLAIN, "notes", "now")
    effects = desk.replica.submit(Submit(99, (write,), EVENTUAL, ""), desk.now)
    effects += desk.replica.seal()
    uncommitted = desk.replica.held.touching(root)
    assert uncommitted == [*before, before[-1] + 1]
    # The transaction has ended, and the engine has not been told yet: readers come in between.
    desk.store.commit([r for e in effects if isinstance(e, Persist) for r in e.records])
    assert desk.replica.held.touching(root) == uncommitted
    desk.replica.held.committed()
    assert desk.replica.held.touching(root) == uncommitted


def test_a_lane_that_ends_elsewhere_has_another_row() -> None:
    """Though its author has not been dropped, as another one is, and nothing of it has come."""
    stage = Stage(new_mesh("short", limits=((LIMIT_VOID_SUFFIX, 3),)))
    carol = hand(stage.mesh, "carol")
    twin = stage.bob.twin()
    erin = hand(stage.mesh, "erin")
    grants = [stage.root.grant(carol), stage.bob.grant(carol.author), stage.bob.grant(erin)]
    lost = erin.data(put(stage.task, "g", 1))
    own = carol.data(put(stage.task, "f", 0))
    others = [carol.data(put(stage.task, "f", at), leaf=grants[1].id) for at in range(1, 6)]
    stage.node.receive([*grants, own, *others, lost])
    port = stage.node.replica.port
    assert port.row(carol.author, LANE_DATA).seq == 6
    # What passed it on has forked, so the second grant counts no more, nor what rests on it.
    stage.node.receive([twin.pin(stage.first)])
    assert port.row(carol.author, LANE_DATA).seq == 4
    table = stage.node.replica.table
    required = [bool(table.required[table.number[e.id]]) for e in (own, *others, lost)]
    assert required == [True] * 4 + [False] * 3
    before = situation(stage.node)
    stage.node.reload()
    assert situation(stage.node) == before
    other = observer(stage.mesh)
    other.receive([e for e in stage.node.log()[1:] if e not in others[3:]])
    assert other.replica.port.roots() == stage.node.replica.port.roots()


def test_what_one_pin_says_of_several_lanes_is_required_of_each() -> None:
    stage = Stage()
    hands = [hand(stage.mesh, name) for name in ("carol", "dave", "erin")]
    stage.node.receive([stage.root.grant(each) for each in hands])
    tips, births = [], []
    for each in hands:
        twin = each.twin()
        births.append(create(stage.top, shared=each.author))
        tips.append(each.data(births[-1]))
        stage.node.receive([tips[-1], twin.data(put(stage.task, "f", 1))])
    table, store = stage.node.replica.table, stage.node.replica.store
    assert [table.required[table.number[tip.id]] for tip in tips] == [0, 0, 0]
    rows = sorted((PinRow(tip.header.author, None, (1, tip.id)) for tip in tips), key=_author)
    stage.node.receive([stage.root.write(KIND_PIN, Pin(tuple(rows), 0).encode())])
    assert [table.required[table.number[tip.id]] for tip in tips] == [1, 1, 1]
    assert all(op.node in store.births for op in births)


def _author(row: PinRow) -> bytes:
    return row.author


def test_a_stamp_ahead_is_parked_in_a_data_lane_alone_and_never_ones_own() -> None:
    stage = Stage()
    held, now = stage.node.replica.held, stage.node.now.wall_ms
    for lane, ahead_ms, may in (
        (LANE_DATA, SKEW_MS_MAX, True),
        (LANE_DATA, SKEW_MS_MAX + 1, False),
        (LANE_AUTHORITY, SKEW_MS_MAX, True),
        (LANE_AUTHORITY, SKEW_MS_MAX + 1, True),
    ):
        header = evolve(stage.first.header, lane=lane, hlc=pack(now + ahead_ms, 0))
        n = held.table.append(bytes([ahead_ms % 256, lane]) * 16, header)
        before = held.clock.last
        assert held.observe(n, header, wall_ms=now) is may
        assert (n in held.table.parked) is not may
        # The clock runs after nothing that is ahead of it.
        seen = ahead_ms == SKEW_MS_MAX
        assert held.clock.last == (max(before, header.hlc) if seen else before)
        held.author, other = header.author, held.author
        assert held.observe(n, header, wall_ms=now)
        held.author, held.clock.last = other, before


def test_what_is_folded_again_is_read_by_the_notary_too() -> None:
    stage = Stage()
    seen: list[Entry] = []

    def data(entry: Entry) -> Data | None:
        seen.append(entry)
        return data_of(entry)

    node = stage.node
    held = Replica.load(node.store, signer=node.signer, now=node.now, notary=Notary(data=data)).held
    seen.clear()
    held.fold.fold_again([stage.task])
    assert seen == [stage.first]
