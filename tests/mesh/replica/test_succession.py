"""From an old key's home to one under a new key: what stays, what is set aside, what ends a log."""

from __future__ import annotations

import pytest
from attrs import evolve

from capability.entry import KIND_DATA, LANE_DATA, Entry, decode_signed_header, verify_entry
from capability.lane import Lane
from crdt.codec import decode, encode
from crdt.hlc import pack
from mesh.core.errors import StorageError
from mesh.core.limits import SKEW_MS_MAX
from mesh.core.records import PutEntry, PutMeta, PutPeer, PutPending, PutProof
from mesh.core.writes import Increment
from mesh.replica import succession
from mesh.replica.pending import Row, decode_row
from mesh.replica.rebuilding import Remains
from mesh.replica.recovery import META_BLOCKED, META_KEPT, META_RECOVER, encode_kept
from mesh.replica.reissue import META_REISSUE, META_REISSUED, META_STRANDED
from mesh.replica.succession import Estate
from tests.mesh.replica.hand import put
from tests.mesh.replica.stage import Stage
from tests.mesh.replica.world import TODAY_MS

WALL_MS = TODAY_MS + 60_000
AHEAD = pack(WALL_MS + SKEW_MS_MAX, 0) + 1
ALL_SENT = encode((99, 99))


class Home:
    """The home of Bob's old key: the mesh's first entries and what `Stage` has of Bob's."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.bob = self.stage.bob
        self.log = self.stage.node.log()
        self.meta: dict[str, bytes] = {"sent": ALL_SENT}
        self.pending: list[tuple[int, bytes]] = []
        self.proofs: list[tuple[bytes, int, bytes]] = []
        self.unreadable = 0
        self.is_damaged = False

    def data(self, value: int = 1, **where: object) -> Entry:
        return self.bob.data(put(self.stage.task, "f", value), **where)  # type: ignore[arg-type]

    def estate(self, *more: Entry, signed: bool = True) -> Estate:
        found = Remains(
            mesh_id=self.stage.mesh.id,
            entries=[*self.log, *more],
            meta=self.meta,
            pending=self.pending,
            peers=[(b"p" * 32, b"peer")],
            proofs=self.proofs,
            unreadable=self.unreadable,
            is_damaged=self.is_damaged,
        )
        return Estate.of(
            found, old=self.bob.signer, wall_ms=WALL_MS, is_signed=lambda entry: signed
        )


@pytest.fixture
def home() -> Home:
    return Home()


def test_the_data_of_the_old_key_is_set_aside(home: Home) -> None:
    later = home.data()
    estate = home.estate(later)
    first = home.stage.first
    assert estate.placed == tuple(entry for entry in home.log if entry.id != first.id)
    assert [entry.id for entry in estate.stranded] == [first.id, later.id]
    assert (estate.unreadable, estate.found.proofs) == (0, ())


def test_what_others_wrote_stays(home: Home) -> None:
    theirs = home.stage.root.data(put(home.stage.task, "f", 2))
    assert theirs in home.estate(theirs).placed


@pytest.mark.parametrize(("sent", "stays"), [(1, True), (0, False)])
def test_a_grant_of_the_old_key_stays_if_it_has_left(home: Home, sent: int, stays: bool) -> None:
    grant = home.bob.grant(b"k" * 32)
    home.meta["sent"] = encode((sent, 0))
    estate = home.estate(grant)
    assert (grant in estate.placed) is stays
    assert grant not in estate.stranded


# A clock that ran ahead.


def test_a_log_that_ran_ahead_is_ended_before_its_first_entry_from_the_future(home: Home) -> None:
    good, far, further = home.data(1), home.data(2, hlc=AHEAD), home.data(3)
    estate = home.estate(good, far, further)
    assert good in estate.placed
    assert list(estate.stranded) == [far, further]
    ((author, lane, proof),) = estate.found.proofs
    assert (author, lane) == (home.bob.author, LANE_DATA)
    halves = decode(proof, size_max=2_048)
    assert isinstance(halves, tuple)
    first, second = map(decode_signed_header, halves)
    assert first.id < second.id
    for half in (first, second):
        verify_entry(half, home.stage.mesh.id)
    other = second if first.id == far.id else first
    assert far.id in (first.id, second.id)
    assert other.header.kind == KIND_DATA
    assert (other.header.leaf, other.header.body_len) == (far.header.leaf, 0)
    assert other.header.hlc == far.header.hlc + 1
    held = Lane(home.stage.mesh.id)
    for entry in (home.stage.first, good):
        held.add(entry.header, entry.id)
    assert held.add_proof(first, second)
    assert held.fork_seq == far.header.seq


def test_the_greatest_skew_that_is_folded_is_not_ahead(home: Home) -> None:
    edge = home.data(1, hlc=AHEAD - 1)
    estate = home.estate(edge)
    assert estate.found.proofs == ()
    assert edge in estate.stranded and home.stage.first.id in {e.id for e in estate.stranded}


def test_what_has_not_left_needs_no_end(home: Home) -> None:
    far = home.data(2, hlc=AHEAD)
    home.meta["sent"] = encode((0, far.header.seq - 1))
    estate = home.estate(far)
    assert estate.found.proofs == ()
    # What stands before it stays all the same: it is the log that others hold.
    assert home.stage.first.id in {entry.id for entry in estate.placed}
    assert list(estate.stranded) == [far]


@pytest.mark.parametrize("key", [META_BLOCKED, META_RECOVER])
def test_of_a_log_in_doubt_all_data_is_set_aside(home: Home, key: str) -> None:
    home.meta[key] = b"because"
    far = home.data(2, hlc=AHEAD)
    estate = home.estate(far)
    assert [entry.id for entry in estate.stranded] == [home.stage.first.id, far.id]
    assert len(estate.found.proofs) == 1


def test_a_log_that_has_forked_is_in_doubt(home: Home) -> None:
    twin = home.bob.twin()
    other, good = twin.data(put(home.stage.task, "f", 7)), home.data(1)
    far = home.data(2, hlc=AHEAD)
    assert len(home.estate(good, far).stranded) == 1
    assert len(home.estate(good, other, far).stranded) == 4
    halves = sorted((good.signed_header, other.signed_header), key=lambda half: half.id)
    proof = encode(tuple(half.value() for half in halves))
    home.proofs = [(home.bob.author, LANE_DATA, proof)]
    assert len(home.estate(good, far).stranded) == 3
    home.proofs = [(home.bob.author, LANE_DATA, b"\xc1")]
    assert len(home.estate(good, far).stranded) == 1
    home.proofs = [(home.bob.author, LANE_DATA, encode((proof,)))]
    assert len(home.estate(good, far).stranded) == 1


# What an earlier repair had set aside.


def test_what_was_aside_before_stays_aside_once(home: Home) -> None:
    kept, stranded = home.data(1), home.data(2)
    grant = home.bob.grant(b"k" * 32)
    home.meta[META_KEPT] = encode_kept([kept, grant, home.stage.first])
    home.meta[META_STRANDED] = encode_kept([stranded, kept])
    estate = home.estate()
    assert [e.id for e in estate.stranded] == [home.stage.first.id, kept.id, stranded.id]
    assert home.estate(signed=False).stranded == tuple(
        e for e in home.log if e.id == home.stage.first.id
    )


def test_what_a_reissue_had_said_is_not_said_twice(home: Home) -> None:
    one, two, three = (home.data(at) for at in range(3))
    home.meta[META_STRANDED] = encode_kept([three, two, one])
    home.meta[META_REISSUED] = encode((2, 0, ()))
    assert [e.id for e in home.estate().stranded] == [home.stage.first.id, three.id]
    home.meta[META_REISSUED] = b"\xc1"
    assert len(home.estate().stranded) == 4


def test_what_cannot_be_read_is_counted(home: Home) -> None:
    home.unreadable = 3
    assert home.estate().unreadable == 3
    home.meta[META_KEPT] = b"\xc1"
    assert home.estate().unreadable == 4
    home.meta[META_STRANDED] = b"\xc1"
    assert home.estate().unreadable == 5
    assert len(home.estate().stranded) == 1


# Rows, and the records of the new home.


def test_rows_keep_their_stamps_unless_these_are_in_the_future(home: Home) -> None:
    write = Increment(home.stage.task, 0, "n", 1)
    now = pack(WALL_MS, 0)
    home.pending = [(at, Row("s", hlc, write).encode()) for at, hlc in ((4, now - 1), (7, now + 1))]
    rows = [(slot, decode_row(data)) for slot, data in home.estate().found.pending]
    assert rows == [(4, Row("s", now - 1, write)), (7, Row("s", now, write))]


def test_the_new_home_has_all_of_it(home: Home) -> None:
    home.pending = [(4, Row("", 5, Increment(home.stage.task, 0, "n", 1)).encode())]
    estate = home.estate()
    estate = evolve(estate, found=evolve(estate.found, proofs=((b"a" * 32, 1, b"proof"),)))
    records = estate.records(home.stage.root.author, {"name": b"new", "gone": b""}, b"all")
    placed = [
        PutEntry(n, entry, (), own=entry.header.author == home.stage.root.author)
        for n, entry in enumerate(estate.placed, start=1)
    ]
    assert records == (
        *placed,
        PutMeta("name", b"new"),
        PutMeta(META_STRANDED, encode_kept(estate.stranded)),
        PutMeta(META_REISSUE, b"all"),
        PutPending(*estate.found.pending[0]),
        PutPeer(b"p" * 32, b"peer"),
        PutProof(b"a" * 32, 1, b"proof"),
    )
    bare = evolve(estate, stranded=())
    keys = [
        r.key for r in bare.records(b"n" * 32, {"name": b"new"}, b"all") if isinstance(r, PutMeta)
    ]
    assert keys == ["name"]


def test_what_may_be_set_aside_has_a_bound(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    estate = home.estate()
    size = len(encode_kept(estate.stranded))
    monkeypatch.setattr(succession, "KEPT_BYTES_MAX", size)
    assert estate.records(b"n" * 32, {}, b"all")
    monkeypatch.setattr(succession, "KEPT_BYTES_MAX", size - 1)
    with pytest.raises(StorageError, match="1 entries of the old key"):
        estate.records(b"n" * 32, {}, b"all")
