"""What an old key has left is said again under the new one: once, in order, with its times."""

from __future__ import annotations

import pytest

from capability import ops, permissions
from capability.bodies import CAVEAT_SESSION, SESSION
from capability.data_body import decode_data, parse_op
from capability.entry import KIND_DATA, Entry
from capability.ids import session_id
from capability.ops import Op
from crdt.codec import decode, encode
from crdt.errors import CodecError
from mesh.core.effects import Effect, Log, Persist
from mesh.core.inputs import Now
from mesh.core.records import PutEntry, PutMeta
from mesh.replica import reissue as module
from mesh.replica.recovery import META_FORMER, WAIT_FOR_ALL, WAIT_FOR_ONE, encode_kept
from mesh.replica.reissue import (
    META_REISSUE,
    META_REISSUED,
    META_STRANDED,
    Reissue,
    ordered,
    progress,
)
from mesh.worknode.cells import DotCell
from tests.mesh.replica.desk import Desk, entries_of
from tests.mesh.replica.hand import Hand, add, append, create, hand, inc, put, rem

DONE = tuple(PutMeta(key, b"") for key in (META_STRANDED, META_REISSUE, META_REISSUED))


class Heir:
    """Bob's node, whose former key is Carol's: what she wrote has not come here."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.replica = self.desk.node.replica
        self.old: Hand = hand(self.desk.mesh, "carol")
        self.desk.node.receive([self.desk.root.grant(self.old)])
        self.task = self.desk.task
        self.seen = 0

    def takes(self, *entries: Entry, mode: bytes = WAIT_FOR_ALL) -> Reissue:
        former = frozenset({self.old.author})
        return Reissue(self.replica.held, self.replica.writer, mode, ordered(entries), former)

    def run(self, reissue: Reissue, now: Now | None = None) -> tuple[list[Entry], list[Effect]]:
        effects = reissue.run(now or self.desk.node.now)
        self.desk.node.run(effects)
        return entries_of(effects), effects

    def again(self, *entries: Entry) -> list[Entry]:
        return self.run(self.takes(*entries))[0]


def said(entry: Entry) -> list[Op]:
    data = decode_data(entry.body)
    found = [parse_op(data, index) for index in range(len(data.ops))]
    assert None not in found
    return [op for op in found if op is not None]


@pytest.fixture
def heir() -> Heir:
    return Heir()


# Whom it waits for.


def test_all_are_to_be_met_but_former_keys(heir: Heir) -> None:
    entry = heir.old.data(put(heir.task, "f", 1))
    reissue = heir.takes(entry)
    assert reissue.is_active
    assert reissue.absent() == [heir.desk.root.author]
    reissue.former = frozenset()
    assert reissue.absent() == [heir.desk.root.author], "its entries tell"
    assert not heir.takes().is_active


def test_it_is_due_when_all_have_been_equal_at_some_time(heir: Heir) -> None:
    now, root = heir.desk.node.now, heir.desk.root.author
    dan = hand(heir.desk.mesh, "dan")
    heir.desk.node.receive([heir.desk.root.grant(dan)])
    reissue = heir.takes(heir.old.data(put(heir.task, "f", 1)))
    assert not reissue.is_due([], now)
    assert not reissue.is_due([root], now)
    assert reissue.is_due([dan.author], now)
    assert reissue.met == {root, dan.author}
    one = heir.takes(mode=WAIT_FOR_ONE)
    assert not one.is_due([], now)
    assert one.is_due([b"p" * 32], now)


def test_with_nobody_to_meet_somebody_has_to_be_met(heir: Heir) -> None:
    reissue = heir.takes(heir.old.data(put(heir.task, "f", 1)))
    reissue.former = frozenset({heir.desk.root.author})
    assert reissue.absent() == []
    assert not reissue.is_due([], heir.desk.node.now)


def test_what_has_begun_goes_on_by_itself(heir: Heir) -> None:
    reissue = heir.takes(heir.old.data(put(heir.task, "f", 1)))
    reissue.done = 1
    assert reissue.is_due([], heir.desk.node.now)
    assert reissue.met == set()


def test_a_pen_that_is_stopped_or_has_no_grant_says_nothing(heir: Heir) -> None:
    now, root = heir.desk.node.now, heir.desk.root.author
    reissue = heir.takes(heir.old.data(put(heir.task, "f", 1)))
    heir.replica.writer.blocked = "because"
    assert not reissue.is_due([root], now)
    heir.replica.writer.blocked = ""
    assert reissue.is_due([root], now)
    heir.replica.writer.standing.author = b"?" * 32
    assert not reissue.is_due([root], now)


# What is said.


def test_operations_keep_their_times_but_strict_ones(heir: Heir) -> None:
    born = create(heir.desk.top, own=(heir.old.author, 1))
    entry = heir.old.data(put(heir.task, "f", 1, age=3), inc(heir.task, "n", 2), born)
    (made,), effects = heir.run(heir.takes(entry))
    assert made.header.author == heir.desk.bob.author
    register, increment, birth = said(made)
    assert made.header.hlc - register.age == entry.header.hlc - 3
    assert made.header.hlc - increment.age == entry.header.hlc
    assert birth == born
    assert heir.desk.value("f") == 1
    assert heir.replica.store.exists(born.node), "a key that is not one's own needs WRITE only"
    *_, persist, log = effects
    assert persist == Persist(DONE)
    fields = (("entries", 1), ("reissued", 1), ("lost", 0))
    assert log == Log("info", "node.reissued", fields)


def test_what_is_stamped_in_the_future_is_said_now(heir: Heir) -> None:
    far = heir.old.data(put(heir.task, "f", 1), hlc=(heir.desk.node.now.wall_ms + 9_999) << 16)
    (made,) = heir.again(far)
    assert [op.age for op in said(made)] == [0]
    assert made.header.hlc < far.header.hlc


def test_all_is_over_afterwards(heir: Heir) -> None:
    reissue = heir.takes(heir.old.data(put(heir.task, "f", 1)))
    heir.run(reissue)
    assert not reissue.is_active
    assert (reissue.mode, reissue.runs, reissue.done, reissue.due_ms) == (b"", [], 0, None)


def test_what_counts_already_is_not_said_again(heir: Heir) -> None:
    held, lost = heir.old.data(inc(heir.task, "n", 1)), heir.old.data(inc(heir.task, "n", 2))
    heir.desk.node.receive([held])
    (made,), effects = heir.run(heir.takes(held, lost))
    assert [op.payload for op in said(made)] == [ops.Increment(0, "n", 2)]
    assert isinstance(effects[-1], Log)
    assert dict(effects[-1].fields) == {"entries": 2, "reissued": 1, "lost": 0}


def test_what_is_held_and_does_not_count_is_said_again(heir: Heir) -> None:
    void = heir.old.data(inc(heir.task, "n", 1), leaf=b"?" * 32)
    heir.desk.node.receive([void])
    assert len(heir.again(void)) == 1


def test_what_cannot_be_said_is_counted(heir: Heir) -> None:
    good = encode((3, 0, 0, (), 0, 0, 5))
    assert good
    value = (b"", (), 0, b"", (heir.task,), ("f",), ((99, 1), (3, 0, 0, (), 0, 0, 5), (99, 2)))
    half = heir.old.write(KIND_DATA, encode(value))
    none = heir.old.write(KIND_DATA, encode((*value[:6], ((99, 1),))))
    broken = heir.old.write(KIND_DATA, b"\xc1")
    last = heir.old.data(put(heir.task, "g", 1))
    made, effects = heir.run(heir.takes(half, none, broken, last))
    assert [len(said(entry)) for entry in made] == [1, 1]
    assert isinstance(effects[-1], Log)
    assert dict(effects[-1].fields) == {"entries": 4, "reissued": 2, "lost": 4}


def test_dots_name_what_they_named(heir: Heir) -> None:
    """In this entry, counted back, by reference; of the old key, of others; or gone."""
    others = heir.desk.bob
    other = heir.desk.root.data(add(heir.task, "s", "other"))
    held = heir.old.data(add(heir.task, "s", "held"))
    heir.desk.node.receive([other, held])
    one = heir.old.data(add(heir.task, "t", 0), add(heir.task, "s", "one"))
    two = heir.old.data(add(heir.task, "s", "two"))
    kills = [(-2, 1), (-1, 0), (0, 0), (1, 0), (-3, 0)]
    # What would stand before the first, and what would stand before that.
    kills += [(-4, 0), (-9, 0)]
    three = heir.old.data(
        add(heir.task, "s", "three"),
        rem(heir.task, "s", kills),
        rem(heir.task, "s", [(3, 0)]),
        refs=(other.id, two.id, b"?" * 32),
    )
    made = heir.again(one, two, three)
    assert len(made) == 3
    assert others.author == made[0].header.author
    _, removed, gone = said(made[2])
    assert isinstance(gone.payload, ops.SetRemove) and gone.payload.kills == ()
    assert isinstance(removed.payload, ops.SetRemove)
    refs = decode_data(made[2].body).refs
    named = {(made[2].id if r == 0 else refs[r - 1], index) for r, index in removed.payload.kills}
    assert named == {
        (made[0].id, 1),
        (made[1].id, 0),
        (made[2].id, 0),
        (other.id, 0),
        (held.id, 0),
    }
    cell = heir.replica.store.cell(heir.task, (0, "s", 5))
    assert cell is None or (isinstance(cell, DotCell) and not cell.dots)


def test_cites_and_kills_of_adds_are_named_anew_too(heir: Heir) -> None:
    one = heir.old.data(add(heir.task, "s", "a"))
    cited = Op(ops.OP_REGISTER, 0, heir.task, ((-1, 0),), ops.Register(0, "f", 1))
    two = heir.old.data(cited, add(heir.task, "s", "a", [(-1, 0)]))
    first, second = heir.again(one, two)
    register, added = said(second)
    assert decode_data(second.body).refs == (first.id,)
    assert register.cites == ((1, 0),)
    assert isinstance(added.payload, ops.SetAdd) and added.payload.kills == ((1, 0),)


# Sessions and grants.


def test_a_session_keeps_its_name(heir: Heir) -> None:
    session = session_id("agent")
    named = heir.old.grant(
        heir.old.author, akind=SESSION, caveats=((CAVEAT_SESSION, session),), label="agent"
    )
    heir.desk.node.receive([named])
    entry = heir.old.data(put(heir.task, "f", 1), session=session, leaf=named.id)
    grant, made = heir.again(entry)
    assert decode_data(made.body).session == session
    assert made.header.leaf == grant.id
    under = heir.replica.held.ledger.grant(grant.id)
    assert under is not None and (under.akind, under.label) == (SESSION, "agent")


def test_a_session_without_a_name_is_said_under_the_nodes_grant(heir: Heir) -> None:
    entry = heir.old.data(put(heir.task, "f", 1), session=b"s" * 16)
    (made,) = heir.again(entry)
    assert decode_data(made.body).session == b"s" * 16
    assert made.header.leaf == heir.desk.bob.leaf


def test_what_only_the_old_key_might_write_is_said_and_refused_by_itself(heir: Heir) -> None:
    config = put(heir.task, "x", 1, ns=6)
    entry = heir.old.data(config, put(heir.task, "f", 1))
    assert not permissions.MEMBER & permissions.ADMIN
    (made,) = heir.again(entry)
    assert len(said(made)) == 2
    assert heir.desk.value("f") == 1
    assert heir.replica.store.cell(heir.task, (6, "x", 3)) is None


def test_one_grant_covers_all_of_an_entry_with_what_it_creates(heir: Heir) -> None:
    """Though the Worknode is not born yet, and another grant would come first."""
    desk, label = heir.desk, 0
    while (grant := desk.root.grant(desk.bob, perms=permissions.ALL, label=f"{label}")) is not None:
        desk.node.receive([grant])
        if grant.id > desk.bob.leaf:
            break
        label += 1
    born = create(desk.top, own=(heir.old.author, 1))
    entry = heir.old.data(born, put(born.node, "x", 1, ns=6))
    first = heir.replica.writer.standing.candidates(b"", desk.node.now)[0]
    (made,) = heir.again(entry)
    assert (made.header.leaf == first.leaf) is bool(first.perms & permissions.ADMIN)
    assert heir.replica.store.cell(born.node, (6, "x", 3)) is not None


# Steps.


def test_steps_say_how_far_they_came_and_go_on_after_a_restart(
    heir: Heir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEP_ENTRIES_MAX", 2)
    task, node = heir.task, heir.desk.node
    counted = heir.old.data(put(task, "f", 1))
    node.receive([counted])
    adds = [heir.old.data(add(task, "s", at)) for at in range(3)]
    broken = heir.old.write(KIND_DATA, b"\xc1")
    last = heir.old.data(rem(task, "s", [(-4, 0), (-3, 0), (-2, 0)]))
    stranded = encode_kept([last, counted, broken, *adds])
    node.store.commit(
        [
            PutMeta(META_STRANDED, stranded),
            PutMeta(META_REISSUE, WAIT_FOR_ONE),
            PutMeta(META_FORMER, heir.old.author),
        ]
    )
    own_seq = heir.replica.port.own_heads(heir.desk.bob.author)[1]
    states = []
    for step in range(3):
        reissue = Reissue.load(node.store, heir.replica.held, heir.replica.writer)
        assert reissue.entries == (counted, *adds, broken, last)
        assert (reissue.mode, reissue.former) == (WAIT_FOR_ONE, {heir.old.author})
        _, effects = heir.run(reissue, Now(step, node.now.wall_ms))
        states.append(node.store.meta(META_REISSUED))
        if step < 2:
            assert reissue.due_ms == step
            assert effects[-1] == Persist((PutMeta(META_REISSUED, states[-1] or b""),))
    runs = (1, own_seq + 1)
    assert [decode(state, size_max=99) for state in states[:2] if state] == [
        (2, 0, ((*runs, 1),)),
        (4, 0, ((*runs, 3),)),
    ]
    assert not states[2]
    removed = said(node.log()[-1])[0]
    refs = decode_data(node.log()[-1].body).refs
    assert isinstance(removed.payload, ops.SetRemove)
    named = {heir.replica.table.seqs[heir.replica.table.number[ref]] for ref in refs}
    assert named == {own_seq + at for at in (1, 2, 3)}
    assert len(removed.payload.kills) == 3


def test_one_object_goes_on_where_it_was(heir: Heir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEP_ENTRIES_MAX", 1)
    broken = [heir.old.write(KIND_DATA, b"\xc1") for _ in range(2)]
    reissue = heir.takes(*broken, heir.old.data(append(heir.task, "l", 1)))
    assert [type(effect) for effect in heir.run(reissue)[1]] == [Persist]
    assert (reissue.done, reissue.lost) == (1, 1)
    heir.run(reissue)
    assert (reissue.done, reissue.lost) == (2, 2)
    made, effects = heir.run(reissue)
    assert len(made) == 1 and isinstance(effects[-1], Log)
    assert dict(effects[-1].fields) == {"entries": 3, "reissued": 1, "lost": 2}
    assert not any(
        isinstance(r, PutEntry) for e in effects[1:] if isinstance(e, Persist) for r in e.records
    )


def test_entries_are_said_by_author_and_place(heir: Heir) -> None:
    mal = hand(heir.desk.mesh, "mal")
    entries = [heir.old.data(put(heir.task, "f", at)) for at in range(2)]
    entries += [mal.data(put(heir.task, "f", at)) for at in range(2)]
    twin = mal.twin()
    entries += [mal.data(put(heir.task, "f", 5)), twin.data(put(heir.task, "f", 6))]
    found = ordered(reversed(entries))
    assert list(found) == sorted(entries, key=lambda e: (e.header.author, e.header.seq, e.id))


def test_progress_reads_what_a_step_wrote() -> None:
    assert progress(None) == progress(b"") == (0, 0, [])
    assert progress(encode((3, 1, ((0, 7, 2),)))) == (3, 1, [(0, 7, 2)])
    with pytest.raises(CodecError):
        progress(b"\xc1")
