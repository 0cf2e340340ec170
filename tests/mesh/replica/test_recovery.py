"""How a home that is behind its peers gets its own log back, and what becomes of what was aside."""

from __future__ import annotations

import pytest

from capability import ops, permissions
from capability.data_body import decode_data, parse_op
from capability.entry import (
    KIND_DATA,
    KIND_ENCRYPTED,
    KIND_GRANT,
    LANE_AUTHORITY,
    LANE_DATA,
    Entry,
    verify_entry,
)
from capability.errors import CapabilityError
from capability.ops import Op
from crdt.codec import encode
from crdt.errors import CodecError
from mesh.core.effects import Log, Persist
from mesh.core.records import PutEntry, PutMeta
from mesh.replica.recovery import (
    FORMER_KEYS_MAX,
    META_BLOCKED,
    META_FORMER,
    META_KEPT,
    META_RECOVER,
    WAIT_FOR_ALL,
    WAIT_FOR_ONE,
    Recovery,
    decode_kept,
    encode_kept,
    former_keys,
    with_former,
)
from tests.mesh.replica.desk import Desk
from tests.mesh.replica.hand import Hand, add, create, hand, inc, move, multi, put, rem


def body(entry: Entry) -> bytes:
    return entry.body


class Home:
    """Bob's home, which waits for its log; `mine` writes as Bob did, after what is held here."""

    def __init__(self, mode: bytes = WAIT_FOR_ALL, kept: tuple[Entry, ...] = ()) -> None:
        self.desk = Desk()
        self.held = self.desk.node.replica.held
        self.me = self.desk.bob.author
        self.recovery = Recovery(self.held, self.me, mode, kept)
        self.own = self.desk.node.log()[-1]
        self.mine = Hand(self.desk.bob.signer, self.desk.mesh, self.desk.bob.leaf)
        self.mine.tips[LANE_DATA] = (self.own.header.seq, self.own.id, self.own.header.hlc)

    def finish(self, *kept: Entry) -> tuple[Persist, list[Entry], dict[str, object]]:
        self.recovery.kept = kept
        effects, fresh = self.recovery.finish(self.desk.bob.signer, self.desk.mesh.id, body)
        persist, log = effects
        assert isinstance(persist, Persist) and isinstance(log, Log)
        assert (log.level, log.event) == ("info", "node.recovered")
        return persist, fresh, dict(log.fields)

    def ops(self, entry: Entry) -> list[Op | None]:
        data = decode_data(entry.body)
        return [parse_op(data, index) for index in range(len(data.ops))]


# Whom it waits for.


def test_every_member_but_oneself_has_to_speak() -> None:
    home = Home()
    root, carol = home.desk.root, hand(home.desk.mesh, "carol")
    home.desk.node.receive([root.grant(carol)])
    assert home.recovery.absent() == sorted((root.author, carol.author))
    assert not home.recovery.is_over()
    assert home.recovery.note(root.author, (None, home.own.signed_header))
    assert home.recovery.absent() == [carol.author]
    assert not home.recovery.is_over()
    assert home.recovery.note(carol.author, (None, None))
    assert home.recovery.absent() == []
    assert home.recovery.is_over()


def test_nobody_waits_for_a_key_that_one_had_before() -> None:
    home = Home()
    home.recovery.former = frozenset({home.desk.root.author})
    assert home.recovery.absent() == []
    # Somebody has to speak all the same.
    assert not home.recovery.is_over()


def test_one_peer_may_be_enough() -> None:
    home = Home(WAIT_FOR_ONE)
    assert not home.recovery.is_over()
    assert home.recovery.note(b"p" * 32, (None, None))
    assert home.recovery.absent()
    assert home.recovery.is_over()


def test_what_was_stated_must_have_come() -> None:
    home = Home(WAIT_FOR_ONE)
    ahead = home.mine.data(put(home.desk.task, "f", 1))
    assert home.recovery.note(b"p" * 32, (None, ahead.signed_header))
    assert home.recovery.note(b"q" * 32, (None, home.own.signed_header))
    assert not home.recovery.holds_all_stated()
    assert not home.recovery.is_over()
    home.desk.node.receive([ahead])
    assert home.recovery.holds_all_stated()
    assert home.recovery.is_over()


def test_what_a_peer_has_said_last_stands() -> None:
    home = Home(WAIT_FOR_ONE)
    ahead = home.mine.data(put(home.desk.task, "f", 1))
    home.recovery.note(b"p" * 32, (None, ahead.signed_header))
    home.recovery.note(b"p" * 32, (None, None))
    assert home.recovery.is_over()


def test_two_entries_at_one_place_are_two_logs() -> None:
    home = Home()
    other = hand(home.desk.mesh, "bob")
    other.leaf = home.desk.bob.leaf
    elsewhere = other.data(put(home.desk.task, "f", 1))
    assert not home.recovery.note(b"p" * 32, (None, elsewhere.signed_header))
    assert not home.recovery.note(b"p" * 32, (elsewhere.signed_header, None))
    assert home.recovery.note(b"p" * 32, (None, home.own.signed_header))


def test_the_sentence_names_three_and_counts_the_rest() -> None:
    recovery = Home().recovery
    waits = "this home is being repaired: before it writes again it waits for "
    assert recovery.sentence(()) == f"{waits}its own entries to come back from its peers"
    says = " to say what they hold of its log"
    assert recovery.sentence(["ann"]) == f"{waits}ann{says}"
    assert recovery.sentence(["ann", "ben", "cec"]) == f"{waits}ann, ben, cec{says}"
    assert recovery.sentence(["ann", "ben", "cec", "dan", "eve"]) == (
        f"{waits}ann, ben, cec and 2 more{says}"
    )


# What was set aside.


def test_nothing_aside_leaves_the_log_as_it_is() -> None:
    home = Home()
    assert home.recovery.is_active
    persist, fresh, fields = home.finish()
    assert persist.records == tuple(
        PutMeta(key, b"") for key in (META_RECOVER, META_KEPT, META_BLOCKED)
    )
    assert (fresh, fields) == ([], {"entries": 0, "signed_anew": 0})
    assert not home.recovery.is_active
    assert home.recovery.kept == ()


def test_what_continues_the_log_enters_it_as_it_is() -> None:
    home = Home()
    kept = [home.mine.data(put(home.desk.task, "f", at)) for at in range(2)]
    persist, fresh, fields = home.finish(*reversed(kept))
    assert fresh == kept
    assert fields == {"entries": 2, "signed_anew": 0}
    last = home.held.table.last
    touched = (home.desk.task,)
    assert persist.records[:2] == (
        PutEntry(last - 1, kept[0], touched, own=True),
        PutEntry(last, kept[1], touched, own=True),
    )
    assert home.desk.value("f") == 1


def test_what_is_held_already_does_not_enter_again() -> None:
    home = Home()
    _, fresh, fields = home.finish(home.own)
    assert (fresh, fields) == ([], {"entries": 0, "signed_anew": 0})


def test_what_has_lost_its_place_is_signed_anew_with_its_old_stamps() -> None:
    home = Home()
    other = home.mine.twin()
    kept = home.mine.data(put(home.desk.task, "f", 1, age=3), move(home.desk.task, home.desk.top))
    came = [other.data(put(home.desk.task, "g", at)) for at in range(2)]
    home.desk.node.receive(came)
    _, (made,), fields = home.finish(kept)
    assert fields == {"entries": 1, "signed_anew": 1}
    verify_entry(made, home.desk.mesh.id)
    header = made.header
    assert (header.seq, header.prev) == (came[1].header.seq + 1, came[1].id)
    assert (header.kind, header.leaf, header.lane) == (KIND_DATA, kept.header.leaf, LANE_DATA)
    assert header.hlc > came[1].header.hlc
    loose, strict = home.ops(made)
    assert loose is not None and strict is not None
    assert header.hlc - loose.age == kept.header.hlc - 3
    assert strict.age == 0
    assert home.desk.value("f") == 1


def test_a_later_stamp_than_any_is_later_than_what_was_aside() -> None:
    home = Home()
    other = home.mine.twin()
    kept = home.mine.data(put(home.desk.task, "f", 1), hlc=home.own.header.hlc + (9_000 << 16))
    home.desk.node.receive([other.data(put(home.desk.task, "g", 1))])
    _, (made,), _ = home.finish(kept)
    assert made.header.hlc > kept.header.hlc
    assert made.header.hlc < kept.header.hlc + (1 << 16)


def test_what_was_aside_names_its_own_at_their_new_places() -> None:
    """By id where it refers, by distance where it counts back; what stood before stays there."""
    home = Home()
    task = home.desk.task
    before = home.mine.data(add(task, "s", "old"))
    home.desk.node.receive([before])
    other = home.mine.twin()
    first = home.mine.data(add(task, "s", "one"))
    second = home.mine.data(
        add(task, "s", "two", [(0, 0)]),
        rem(task, "s", [(-2, 0), (-1, 0), (0, 0), (1, 0), (2, 0)]),
        multi(task, "m", "x", [(-2, 0), (-1, 0)]),
        inc(task, "n", 1),
        refs=(first.id, before.id),
    )
    home.desk.node.receive([other.data(put(task, "g", at)) for at in range(3)])
    _, made, _ = home.finish(first, second)
    seq = second.header.seq
    assert [entry.header.seq for entry in made] == [seq + 2, seq + 3]
    assert decode_data(made[1].body).refs == (made[0].id, before.id)
    _, removed, several, _ = home.ops(made[1])
    assert removed is not None and isinstance(removed.payload, ops.SetRemove)
    # Two places back was before all that moved: three more now.
    assert removed.payload.kills == ((-5, 0), (-1, 0), (0, 0), (1, 0), (2, 0))
    assert several is not None and isinstance(several.payload, ops.MultiValue)
    assert several.payload.kills == ((-5, 0), (-1, 0))


def test_cites_move_like_kills() -> None:
    home = Home()
    task = home.desk.task
    other = home.mine.twin()
    cited = Op(ops.OP_REGISTER, 0, task, ((-1, 0),), ops.Register(0, "f", 1))
    kept = home.mine.data(cited)
    home.desk.node.receive([other.data(put(task, "g", at)) for at in range(2)])
    _, (made,), _ = home.finish(kept)
    (op,) = home.ops(made)
    assert op is not None and op.cites == ((-3, 0),)


def test_what_no_program_can_read_is_signed_anew_as_it_is() -> None:
    home = Home()
    other = home.mine.twin()
    odd = [
        home.mine.write(KIND_DATA, b"\xc1"),
        home.mine.write(KIND_ENCRYPTED, b"secret"),
    ]
    home.desk.node.receive([other.data(put(home.desk.task, "g", 1))])
    _, made, _ = home.finish(*odd)
    assert [entry.body for entry in made] == [entry.body for entry in odd]
    assert [entry.header.kind for entry in made] == [KIND_DATA, KIND_ENCRYPTED]


def test_operations_of_later_versions_are_said_again_as_they_are() -> None:
    home = Home()
    other = home.mine.twin()
    rows = ((99, "later"), (99, 1, 0), "none", (6, 0, 0, "no dots"), (6, "old", 0, (), 0, 0, 5))
    headed = (99, 7, 0, ((-1, 0),))
    value = (b"", (), 0, b"", (home.desk.task,), ("s",), (*rows, headed))
    kept = home.mine.write(KIND_DATA, encode(value))
    home.desk.node.receive([other.data(put(home.desk.task, "g", 1))])
    _, (made,), _ = home.finish(kept)
    # What has the head of an operation keeps its time, and names what it named.
    age = 7 + made.header.hlc - kept.header.hlc
    assert decode_data(made.body).ops == (*rows, (99, age, 0, ((-2, 0),)))


def test_a_value_that_is_a_list_is_no_list_of_dots() -> None:
    home = Home()
    other = home.mine.twin()
    kept = home.mine.data(put(home.desk.task, "f", (0, 1, 2)))
    home.desk.node.receive([other.data(put(home.desk.task, "g", 1))])
    home.finish(kept)
    assert home.desk.value("f") == (0, 1, 2)


def test_a_grant_signed_anew_is_what_later_entries_act_by() -> None:
    home = Home()
    desk = home.desk
    other = home.mine.twin()
    grant = home.mine.grant(desk.bob.author, perms=permissions.WRITE)
    by_it = home.mine.data(put(desk.task, "f", 1), leaf=grant.id)
    desk.node.receive([other.pin(home.own)])
    persist, (again, data), fields = home.finish(by_it, grant)
    assert fields == {"entries": 2, "signed_anew": 2}
    assert (again.header.kind, again.header.lane) == (KIND_GRANT, LANE_AUTHORITY)
    assert again.body == grant.body
    assert again.header.leaf == grant.header.leaf
    # It would continue the log, but for the grant that it cites.
    assert data.header.leaf == again.id
    assert (data.header.seq, data.header.prev) == (by_it.header.seq, by_it.header.prev)
    assert len(persist.records) == 5
    assert desk.value("f") == 1


def test_only_what_is_still_to_be_said_is_said() -> None:
    home = Home()
    first, second = (home.mine.data(put(home.desk.task, "f", at)) for at in range(2))
    less = home.mine.twin().data(put(home.desk.task, "f", 9)).body
    home.recovery.kept = (first, second)
    _, fresh = home.recovery.finish(
        home.desk.bob.signer, home.desk.mesh.id, lambda e: less if e is first else e.body
    )
    (op,) = home.ops(fresh[0])
    assert op is not None and op.payload == ops.Register(0, "f", 9)
    assert fresh[0].header.seq == first.header.seq
    # What follows has another entry before it now.
    assert (fresh[1].header.seq, fresh[1].header.prev) == (second.header.seq, fresh[0].id)


def test_the_first_entry_of_a_log_follows_the_mesh() -> None:
    home = Home()
    carol = hand(home.desk.mesh, "carol")
    home.desk.node.receive([home.desk.root.grant(carol)])
    kept = carol.data(create(home.desk.top, shared=b"new"), prev=b"p" * 32)
    recovery = Recovery(home.held, carol.author, WAIT_FOR_ONE, (kept,))
    _, (made,) = recovery.finish(carol.signer, home.desk.mesh.id, body)
    assert (made.header.seq, made.header.prev) == (1, home.desk.mesh.id)


# On disk.


def test_what_was_set_aside_reads_back() -> None:
    home = Home()
    kept = tuple(home.mine.data(put(home.desk.task, "f", at)) for at in range(2))
    assert decode_kept(encode_kept(kept)) == kept
    assert decode_kept(encode_kept(())) == ()
    assert decode_kept(encode(7)) == ()
    assert decode_kept(encode((7, kept[0].encode()))) == kept[:1]
    with pytest.raises(CodecError):
        decode_kept(b"\xc1")
    with pytest.raises(CapabilityError):
        decode_kept(encode((b"no entry",)))


def test_a_home_reads_what_its_last_run_has_left() -> None:
    home = Home()
    store, kept = home.desk.node.store, home.mine.data(put(home.desk.task, "f", 1))
    fresh = Recovery.load(store, home.held, home.me)
    assert (fresh.is_active, fresh.kept, fresh.former) == (False, (), frozenset())
    store.commit(
        [
            PutMeta(META_RECOVER, WAIT_FOR_ONE),
            PutMeta(META_KEPT, encode_kept((kept,))),
            PutMeta(META_FORMER, b"a" * 32 + b"b" * 32),
        ]
    )
    found = Recovery.load(store, home.held, home.me)
    assert (found.mode, found.kept, found.author) == (WAIT_FOR_ONE, (kept,), home.me)
    assert found.former == {b"a" * 32, b"b" * 32}


def test_the_last_former_keys_are_known() -> None:
    assert former_keys(None) == former_keys(b"") == frozenset()
    assert with_former(None, b"k" * 32) == with_former(b"", b"k" * 32) == b"k" * 32
    keys = [bytes([at]) * 32 for at in range(FORMER_KEYS_MAX + 1)]
    data = None
    for key in keys:
        data = with_former(data, key)
    assert data is not None and len(data) == FORMER_KEYS_MAX * 32
    assert former_keys(data) == set(keys[1:])
