"""What a plain member signs costs everybody little, however much of it there is."""

from __future__ import annotations

import pytest

from capability import forks, judging
from capability.authority import Authority
from capability.bodies import JOIN
from capability.entry import LANE_DATA, Entry
from capability.judging import Judging
from capability.ledger import Ledger
from capability.limits import VOID_SUFFIX_MAX
from capability.links import Act, Links
from capability.permissions import ALL, COMMENT, MEMBER
from capability.verdict import Verdict
from tests.capability.story import Log, Mesh, deliver

PINS = 200
GRANTS = 20


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each judgement of a grant or pin."""
    count: list[int] = []
    real = Judging.judge_act

    def judge(self: Judging, act: Act) -> bool:
        count.append(1)
        return real(self, act)

    monkeypatch.setattr(Judging, "judge_act", judge)
    return count


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each time that the grant of an entry is looked at."""
    count: list[int] = []
    real = Judging.granted

    def granted(self: Judging, author: bytes, hlc: int, leaf: bytes) -> object:
        count.append(hlc)
        return real(self, author, hlc, leaf)

    monkeypatch.setattr(Judging, "granted", granted)
    return count


def _forked_member(mesh: Mesh) -> tuple[Log, Ledger, Entry]:
    """Mal may pass on nothing, and has forked its own authority lane at seq 1."""
    mal = mesh.log("mal")
    mesh.root.grant(mal, perms=MEMBER)
    twin = mal.twin()
    tip = mal.pin(mesh.genesis)
    twin.pin(tip)
    ledger = mesh.ledger()
    lane = ledger.lane(mal.author, 0)
    assert lane is not None
    assert lane.fork_seq == 1
    return mal, ledger, tip


@pytest.mark.parametrize("by", ["mal", "other"])
def test_pins_that_bind_nobody_judge_nothing_anew(mesh: Mesh, judged: list[int], by: str) -> None:
    mal, ledger, tip = _forked_member(mesh)
    other = mesh.log("other")
    deliver(ledger, [mesh.root.grant(other, perms=MEMBER)])
    judged.clear()
    for _ in range(PINS):
        deliver(ledger, [(mal if by == "mal" else other).pin(tip)])
    assert len(judged) <= 2 * PINS


def test_entries_that_only_such_pins_name_judge_nothing_anew(mesh: Mesh, judged: list[int]) -> None:
    mal, ledger, _ = _forked_member(mesh)
    other = mesh.log("other")
    deliver(ledger, [mesh.root.grant(other, perms=MEMBER)])
    later = [mal.pin(mesh.genesis) for _ in range(PINS)]
    deliver(ledger, [other.pin(entry) for entry in later])
    judged.clear()
    deliver(ledger, later)
    assert len(judged) <= 2 * PINS


def test_a_join_key_that_goes_on_writing_makes_its_inviter_sign_one_pin(mesh: Mesh) -> None:
    """Else a bearer of a ticket could use up the inviter's authority lane, which has an end."""
    ann, door = mesh.log("ann"), mesh.log("door")
    mesh.root.grant(ann)
    ann.grant(door, akind=JOIN, caveats=((9, MEMBER), (10, 1)))
    door.grant(mesh.log("guest"), perms=MEMBER)
    ledger = mesh.ledger()
    pins = 0
    for _ in range(20):
        for row in ledger.join_keys.pins_wanted(ann.author):
            assert row.auth is not None
            deliver(ledger, [ann.pin(next(e for e in mesh.entries if e.id == row.auth[1]))])
            pins += 1
        deliver(ledger, [door.grant(mesh.log("more"), perms=MEMBER)])
    assert pins == 1
    assert not ledger.join_keys.provisional(mesh.log("guest").author)


def test_grants_to_a_key_that_has_written_much_do_not_go_through_its_log(
    mesh: Mesh, looked_at: list[int]
) -> None:
    """Anybody may sign them, and each session has one: 160 ms each with 100,000 entries before."""
    ann, mal = mesh.log("ann"), mesh.log("mal")
    mesh.root.grant(ann)
    mesh.root.grant(mal)
    for _ in range(VOID_SUFFIX_MAX + 1):
        ann.data()
    ledger = mesh.ledger()
    assert ledger.end(ann.author, LANE_DATA) is None
    looked_at.clear()
    deliver(ledger, [mal.grant(ann, perms=MEMBER) for _ in range(GRANTS)])
    assert len(looked_at) <= 2 * GRANTS
    # One that its entries have cited before it came still tells where the log ends.
    late = mal.grant(ann, perms=MEMBER)
    dead = [ann.data(leaf=late.id) for _ in range(VOID_SUFFIX_MAX + 1)]
    deliver(ledger, dead[:VOID_SUFFIX_MAX])
    assert ledger.end(ann.author, LANE_DATA) == dead[-2].header.seq
    deliver(ledger, [late])
    assert ledger.end(ann.author, LANE_DATA) is None


@pytest.mark.parametrize("members", [4, 400])
def test_pins_on_a_fork_of_an_own_sub_key_judge_only_what_they_bear_on(
    mesh: Mesh, judged: list[int], members: int
) -> None:
    """
    Each pin moves the branch, and all members' grants have nothing to do with it.

    Before, each of them was judged again at each pin: 7.8 ms with 4,000 grants.
    """
    mal, sub = mesh.log("mal"), mesh.log("sub")
    mesh.root.grant(mal)
    for number in range(members):
        mesh.root.grant(mesh.log(f"member {number}"), perms=MEMBER)
    mal.grant(sub)
    twin = sub.twin()
    twin.pin(sub.pin(mesh.genesis))
    ledger = mesh.ledger()
    judged.clear()
    for _ in range(PINS):
        deliver(ledger, [entry := sub.pin(mesh.genesis), mal.pin(entry)])
        assert ledger.judge(entry.header, entry.id)[0] is Verdict.COUNTS
    # Each entry and each pin when it comes, and the entry and the pin once more.
    assert len(judged) <= 4 * PINS + 4


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each pin held against a grant, and each time all grants are gone through."""
    count: list[int] = []
    held_by, effective = Links.held_by, forks.is_effective

    def counted_held_by(self: Links, author: bytes) -> list[tuple[Act, Authority]]:
        count.append(1)
        return held_by(self, author)

    def counted_effective(pin: Act, target: Authority) -> bool:
        count.append(1)
        return effective(pin, target)

    monkeypatch.setattr(Links, "held_by", counted_held_by)
    monkeypatch.setattr(forks, "is_effective", counted_effective)
    return count


def test_entries_of_a_forked_lane_do_not_go_through_all_grants_to_its_author(
    mesh: Mesh, compared: list[int]
) -> None:
    """Before, each of 2,000 took 1 ms with 2,000 grants to the key, which its owner may sign."""
    mal, sub = mesh.log("mal"), mesh.log("sub")
    mesh.root.grant(mal)
    for _ in range(GRANTS):
        mal.grant(sub)
    twin = sub.twin()
    twin.data()
    tip = sub.data()
    ledger = mesh.ledger()
    deliver(ledger, [mal.pin(tip)])
    later = [sub.data() for _ in range(PINS)]
    compared.clear()
    deliver(ledger, later)
    for entry in later:
        assert ledger.requires(entry.header, entry.id) is False
        assert ledger.judge(entry.header, entry.id)[0] is Verdict.VOID
    assert len(compared) <= GRANTS


@pytest.mark.parametrize("perms", [MEMBER, ALL])
def test_pins_by_many_grants_are_not_held_against_many_grants(
    mesh: Mesh, compared: list[int], perms: int
) -> None:
    """Before, each of 200 pins by 200 grants, on a fork of a key with 200 grants, took 40 ms."""
    mal, sub = mesh.log("mal"), mesh.log("sub")
    by = [mesh.root.grant(mal, perms=perms).id for _ in range(GRANTS)]
    grants = [mal.grant(sub, perms=MEMBER).id for _ in range(GRANTS)]
    twin = sub.twin()
    twin.data()
    entries = [sub.data(leaf=leaf) for leaf in grants]
    ledger = mesh.ledger()
    compared.clear()
    pins = [mal.pin(entry, leaf=leaf) for entry, leaf in zip(entries, by, strict=True)]
    deliver(ledger, pins)
    assert len(compared) <= 4 * GRANTS
    # Each counts as far as the pin by the one grant under which its own was signed.
    reached = [ledger.judge(entry.header, entry.id)[0] is Verdict.COUNTS for entry in entries]
    assert reached == [perms == ALL or number == 0 for number in range(GRANTS)]


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each time that a branch is chosen by all pins."""
    count: list[int] = []
    real = judging.choose

    def choose(*given: object) -> object:
        count.append(1)
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(judging, "choose", choose)
    return count


def test_pins_on_a_fork_of_ones_own_do_not_choose_a_branch_each(
    mesh: Mesh, chosen: list[int]
) -> None:
    """Before, 800 pins that a fork decides about chose 801 times, by all 800, at each change."""
    ann, mal = mesh.log("ann"), mesh.log("mal")
    mesh.root.grant(ann)
    ann.grant(mal, perms=MEMBER)
    mal.grant(mal.author, perms=MEMBER)
    twin = mal.twin()
    first = mal.pin(mesh.genesis)
    for _ in range(PINS):
        last = mal.pin(first)
    other = twin.pin(mesh.genesis)
    ledger = mesh.ledger()
    chosen.clear()
    deliver(ledger, [standing := ann.pin(last)])
    assert ledger.judge(last.header, last.id)[0] is Verdict.COUNTS
    assert len(chosen) <= 4
    # And where the branch that stands becomes the other one: of equal pins that of the lesser id.
    stands = ledger.pinned(mal.author, 0)
    assert stands is not None and stands.id == last.id
    while True:
        before = dict(ann.tips)
        pin = ann.pin(other)
        if pin.id < standing.id:
            break
        ann.tips.update(before)
    chosen.clear()
    deliver(ledger, [pin])
    stands = ledger.pinned(mal.author, 0)
    assert stands is not None and stands.id == other.id
    assert len(chosen) <= 4


def test_a_tip_that_anybody_claims_or_pins_does_not_go_through_all_grants(
    mesh: Mesh, compared: list[int]
) -> None:
    mal, ledger, _ = _forked_member(mesh)
    other = mesh.log("other")
    deliver(ledger, [mesh.root.grant(other, perms=MEMBER)])
    far = mal.pin(mesh.genesis)
    compared.clear()
    assert not ledger.awaits(mal.author, 0, far.header.seq, far.id)
    deliver(ledger, [other.pin(far)])
    assert not ledger.awaits(mal.author, 0, far.header.seq, far.id)
    assert compared == []
    deliver(ledger, [mesh.root.pin(far)])
    assert ledger.awaits(mal.author, 0, far.header.seq, far.id)


def test_grants_that_are_cited_before_they_come_do_not_go_through_the_whole_log(
    mesh: Mesh, looked_at: list[int]
) -> None:
    """A log of 10,000 entries, of which 50 cite such grants, was gone through for each of them."""
    ann, mal = mesh.log("ann"), mesh.log("mal")
    mesh.root.grant(ann)
    mesh.root.grant(mal)
    late = [mal.grant(ann, perms=MEMBER) for _ in range(GRANTS)]
    for _ in range(VOID_SUFFIX_MAX + 1):
        ann.data()
    for grant in late:
        ann.data(leaf=grant.id)
    ledger = Ledger(mesh.id)
    deliver(ledger, [entry for entry in mesh.entries if entry not in late])
    assert ledger.end(ann.author, LANE_DATA) is None
    looked_at.clear()
    deliver(ledger, late)
    assert len(looked_at) <= 3 * GRANTS


def test_grants_that_are_voided_one_by_one_do_not_go_through_the_whole_log(
    mesh: Mesh, looked_at: list[int]
) -> None:
    """Of two keys of one member's one voids grants to the other by forking, ever further down."""
    mal, door, sub = mesh.log("mal"), mesh.log("door"), mesh.log("sub")
    mesh.root.grant(mal)
    mal.grant(door)
    mal.grant(sub, perms=MEMBER)
    twins, grants = [], []
    for _ in range(GRANTS):
        twins.append(door.twin())
        grants.append(door.grant(sub.author, perms=MEMBER))
    cited = [sub.data(leaf=grant.id) for grant in grants]
    for _ in range(VOID_SUFFIX_MAX + 1):
        sub.data()
    ledger = mesh.ledger()
    assert ledger.end(sub.author, LANE_DATA) is None
    looked_at.clear()
    rivals = [twin.pin(mesh.genesis) for twin in reversed(twins)]
    deliver(ledger, rivals)
    # The grants beyond each fork are judged again, and the entry that cites the one before.
    assert len(looked_at) <= GRANTS * (GRANTS + 4)
    assert {ledger.judge(entry.header, entry.id)[0] for entry in cited} == {Verdict.VOID}
    assert ledger.end(sub.author, LANE_DATA) is None


def test_void_grants_to_a_forked_key_choose_no_branch(mesh: Mesh, chosen: list[int]) -> None:
    """Whose own log has forked may sign any number of grants to whoever else's has."""
    mal, ledger, tip = _forked_member(mesh)
    two = mesh.log("two")
    deliver(ledger, [mesh.root.grant(two), mesh.root.pin(tip)])
    twin = two.twin()
    deliver(ledger, [two.pin(mesh.genesis), twin.pin(tip)])
    chosen.clear()
    # Her own fork is settled once more after each, without a pin.
    deliver(ledger, [two.grant(mal.author, perms=MEMBER) for _ in range(GRANTS)])
    assert len(chosen) <= 1


def test_whom_many_grants_let_read_nothing_is_told_from_a_member_at_once(
    mesh: Mesh, compared: list[int]
) -> None:
    """Peers name up to 64 whom they have met, again and again: 0.28 ms each with 2,000 grants."""
    mal, friend = mesh.log("mal"), mesh.log("friend")
    mesh.root.grant(mal)
    for _ in range(GRANTS):
        mal.grant(friend, perms=COMMENT)
    ledger = mesh.ledger()
    assert ledger.member_until(friend.author) == 0
    compared.clear()
    assert ledger.member_until(friend.author) == 0
    assert compared == []
