"""What a replica has its driver do: lines for the operator, what goes to disk, in what order."""

from __future__ import annotations

import pytest

from capability import permissions
from capability.bodies import JOIN, decode_pin
from capability.data_body import Data
from capability.entry import KIND_PIN, LANE_DATA, Entry
from capability.keys import SeedSigner
from capability.limits import NEVER_MS
from capability.notary import Notary, data_of
from crdt.codec import encode
from crdt.hlc import pack
from mesh.core.effects import Effect, Emit, Log, Persist
from mesh.core.inputs import IssueGrant, Now
from mesh.core.limits import SKEW_MS_MAX
from mesh.core.records import PutEntry, PutMeta, PutProof, PutSnapshot
from mesh.replica import snapshot
from mesh.replica.admission import Outcome
from mesh.replica.recovery import META_RECOVER, WAIT_FOR_ALL
from mesh.replica.replica import RULES_VERSION, Replica
from tests.mesh.replica.desk import Desk, entries_of
from tests.mesh.replica.hand import Hand, hand, put
from tests.mesh.replica.stage import Stage
from tests.mesh.replica.world import seed


def lines(effects: list[Effect]) -> list[Log]:
    return [effect for effect in effects if isinstance(effect, Log)]


# Received.


def test_what_is_refused_and_what_has_forked_is_logged() -> None:
    stage = Stage()
    author = stage.bob.author.hex()
    twin = stage.bob.twin()
    stale = stage.bob.twin().data(put(stage.task, "f", 1), hlc=stage.first.header.hlc)
    batch = [stale, stage.bob.data(put(stage.task, "f", 1)), twin.data(put(stage.task, "f", 2))]
    _, effects, _ = stage.node.replica.receive([e.encode() for e in batch], stage.node.now)
    at = (("author", author), ("lane", LANE_DATA))
    reason = ("reason", "stamp not after the one before it")
    assert lines(effects) == [
        Log("warning", "entry.refused", (*at, ("seq", 2), reason)),
        Log("error", "log.forked", at),
    ]


def test_a_home_that_is_a_copy_is_logged_as_an_error() -> None:
    desk = Desk()
    mine = Hand(desk.bob.signer, desk.mesh, desk.bob.leaf)
    own = desk.node.log()[-1]
    mine.tips[LANE_DATA] = (own.header.seq, own.id, own.header.hlc)
    more = mine.data(put(desk.task, "f", 1)).encode()
    _, effects, _ = desk.node.replica.receive([more], desk.node.now)
    assert lines(effects) == [Log("error", "home.restored", ())]


def test_only_a_proof_of_which_the_log_lacks_a_half_is_put_beside_it() -> None:
    """Whichever of two forked lanes comes first."""
    stage = Stage()
    carol, dave = hand(stage.mesh, "carol"), hand(stage.mesh, "dave")
    entries = [stage.root.grant(one) for one in (carol, dave)]
    halves = {}
    for one in (carol, dave):
        entries += [one.twin().data(put(stage.task, "f", at)) for at in range(2)]
        halves[one.author] = sorted(
            (one.twin().data(put(stage.task, "f", at)).signed_header for at in range(2, 4)),
            key=lambda half: half.id,
        )
    stage.node.receive(entries)
    replica = stage.node.replica
    settled = {(one.author, LANE_DATA) for one in (carol, dave)}
    assert set(replica.forked()) == settled
    assert replica._proofs(Outcome(settled=settled)) == []
    for one in (carol, dave):
        bare = Stage()
        bare.node.receive(entries[:2])
        other = dave if one is carol else carol
        bare.node.receive([e for e in entries[2:] if e.header.author == other.author])
        first, second = halves[one.author]
        _, effects, _ = bare.node.replica.receive_proof(first, second, bare.node.now)
        proof = PutProof(one.author, LANE_DATA, encode((first.value(), second.value())))
        assert effects[0] == Persist((proof,))
        assert bare.node.replica._proofs(Outcome(settled=settled)) == [proof]


def test_each_use_of_a_ticket_in_a_batch_is_pinned_under_its_own_grant() -> None:
    desk = Desk()
    now = desk.node.now
    desk.node.receive([desk.root.grant(desk.bob.author, perms=permissions.ALL)])
    doors, leaves = [], []
    for name, perms in (("one", permissions.MEMBER), ("two", permissions.ALL)):
        door = SeedSigner(seed(name))
        request = IssueGrant(1, door.public, JOIN, (desk.top,), perms, 8, NEVER_MS)
        effects, grant_id = desk.node.replica.issue_grant(request, now)
        desk.node.run(effects)
        leaves.append(entries_of(effects)[0].header.leaf)
        doors.append(Hand(door, desk.mesh, grant_id))
    assert len(set(leaves)) == 2
    uses = [
        door.grant(hand(desk.mesh, "guest"), entry={"hlc": pack(now.wall_ms, 9)}) for door in doors
    ]
    _, effects, _ = desk.node.replica.receive([use.encode() for use in uses], now)
    pins = [entry for entry in entries_of(effects) if entry.header.kind == KIND_PIN]
    named = {row.author: pin.header.leaf for pin in pins for row in decode_pin(pin.body).rows}
    assert named == {door.author: leaf for door, leaf in zip(doors, leaves, strict=True)}


# Events, and what a start takes over.


def test_events_are_numbered_on_after_a_restart() -> None:
    stage = Stage()
    cursors: list[int] = []
    for at in range(3):
        stage.node.reload()
        entry = stage.bob.data(put(stage.task, "f", at), put(stage.top, "g", at))
        _, effects, _ = stage.node.replica.receive([entry.encode()], stage.node.now)
        stage.node.run(effects)
        told = [event for e in effects if isinstance(e, Emit) for event in e.events]
        cursors += [event.cursor for event in told]
    assert cursors == list(range(cursors[0], cursors[0] + 6))
    assert cursors[-1] == stage.node.store.last_cursor()


def test_a_start_looks_at_both_clocks() -> None:
    stage = Stage()
    far = stage.node.now.wall_ms + SKEW_MS_MAX + 5_000
    stage.node.receive([stage.bob.data(put(stage.task, "f", 1), hlc=pack(far, 0))])
    stage.node.now = Now(777, stage.node.now.wall_ms + 1_000)
    stage.node.reload()
    assert stage.node.replica.wake_mono_ms == 777 + 4_000


@pytest.mark.parametrize("is_damaged", [False, True])
def test_all_that_reads_entries_does_so_by_the_notary_of_the_start(*, is_damaged: bool) -> None:
    """Also if the snapshot is good for nothing and all begins anew."""
    stage = Stage()
    node, last = stage.node, stage.node.replica.table.last
    if is_damaged:
        labels = (snapshot.FOLD_VERSION, RULES_VERSION, (bytes(last + 1), bytes(last + 1)), ())
        node.store.commit([PutSnapshot(last, encode((*labels, 7, (), ())))])
    seen: list[Entry] = []

    def data(entry: Entry) -> Data | None:
        seen.append(entry)
        return data_of(entry)

    notary = Notary(data=data)
    replica = Replica.load(node.store, signer=node.signer, now=node.now, notary=notary)
    assert seen
    assert replica.held.data_of is data
    assert replica.admission.notary is notary


# A home that recovers.


@pytest.mark.parametrize("label", ["", "Ann"])
def test_who_is_waited_for_is_called_by_name_and_nothing_is_put_twice(label: str) -> None:
    desk = Desk()
    node = desk.node
    node.receive([desk.root.grant(desk.root.author, label=label)])
    node.store.commit([PutMeta(META_RECOVER, WAIT_FOR_ALL)])
    node.reload()
    replica = node.replica
    assert replica.finish() == []
    name = label or desk.root.author.hex()[:8]
    assert f"waits for {name} to say" in replica.writer.blocked
    own = node.log()[1:]
    head = next(e for e in reversed(own) if e.header.author == desk.bob.author).signed_header
    assert replica.check_heads([None, head], desk.root.author) == ""
    persist, log = replica.finish()
    assert isinstance(persist, Persist) and persist.records
    assert not any(isinstance(record, PutEntry) for record in persist.records)
    assert isinstance(log, Log) and log.event == "node.recovered"
