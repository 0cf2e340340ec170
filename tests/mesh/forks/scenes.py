"""Small stories of authors who fork: what all hold, and the pieces that come in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define

from capability import permissions
from capability.entry import KIND_DATA, LANE_AUTHORITY, LANE_DATA, Entry
from capability.ids import root_worknode
from tests.mesh.forks.town import Piece, founded, members
from tests.mesh.replica.hand import Hand, create, hand, put, root_hand
from tests.mesh.replica.world import Mesh

MEMBER = permissions.MEMBER


@define
class Scene:
    """A mesh, what everybody holds of it, and pieces that come later, to some, in some order."""

    mesh: Mesh
    base: list[Entry]
    pieces: list[Piece]


@define
class _Author:
    """A scene's root, and one member Mal with a Worknode."""

    mesh: Mesh
    root: Hand
    mal: Hand
    base: list[Entry]
    node: bytes

    def branch(self, word: str, length: int, after: Hand | None = None) -> list[Entry]:
        twin = (after or self.mal).twin()
        return [twin.data(put(self.node, "a", f"{word}{n}")) for n in range(length)]


def one_forker(*, dead_max: int | None = None) -> _Author:
    mesh = founded(dead_max=dead_max)
    base = members(mesh)
    root, mal = root_hand(mesh), hand(mesh, "mal")
    base.append(root.grant(mal))
    made = create(root_worknode(mesh.id), shared=b"mal")
    base.append(mal.data(made, put(made.node, "a", "trunk")))
    return _Author(mesh, root, mal, base, made.node)


def three_branches() -> Scene:
    """A data lane with three branches, one of them pinned twice, one once and too late."""
    by = one_forker()
    x, y, z = by.branch("x", 3), by.branch("y", 2), by.branch("z", 1)
    pins = [by.root.pin(x[0]), by.root.pin(y[1]), by.root.pin(x[2])]
    return Scene(by.mesh, by.base, [x, y, z, pins[:1], pins])


def a_fork_below() -> Scene:
    """Forks at three places of one lane, some known by their proofs alone."""
    by = one_forker()
    long = by.branch("x", 4)
    low = by.branch("y", 3)
    after = by.mal.twin()
    after.tips[LANE_DATA] = (long[1].header.seq, long[1].id, long[1].header.hlc)
    high = by.branch("z", 2, after)
    lost = by.branch("w", 2, after)
    halves = sorted((high[0].signed_header, lost[0].signed_header), key=lambda half: half.id)
    return Scene(by.mesh, by.base, [long, low, [*long[:2], *high], [(halves[0], halves[1])]])


def two_grants() -> Scene:
    """Mal acts by grants of two inviters, each of whom pins another branch of his lane."""
    by = one_forker()
    dan, eve = hand(by.mesh, "dan"), hand(by.mesh, "eve")
    base = [*by.base, by.root.grant(dan), by.root.grant(eve)]
    leaves = [dan.grant(by.mal.author), eve.grant(by.mal.author)]
    branches = []
    for word, leaf in zip("xy", leaves, strict=True):
        twin = by.mal.twin()
        branches.append([twin.data(put(by.node, word, n), leaf=leaf.id) for n in range(2)])
    pins = [[dan.pin(branches[0][1])], [eve.pin(branches[1][1])]]
    return Scene(by.mesh, [*base, *leaves], [*branches, *pins, [by.root.pin(branches[0][0])]])


def an_authority_fork() -> Scene:
    """
    Mal's authority lane forks, and with it who is introduced: on one branch a guest, who creates
    what another's write lies below, on the other a second one. A grant stands second on a branch.
    """
    by = one_forker()
    left, right = by.mal.twin(), by.mal.twin()
    gus, hal = hand(by.mesh, "gus"), hand(by.mesh, "hal")
    first = [left.pin(by.base[0]), left.grant(gus, perms=MEMBER)]
    second = [right.grant(hal, perms=MEMBER), right.grant(hand(by.mesh, "ida"))]
    born = create(by.node, own=(gus.author, 1))
    guests = [gus.data(born, put(born.node, "b", "gus")), hal.data(put(by.node, "b", "hal"))]
    below = [by.mal.data(put(born.node, "c", "below"))]
    pin = [by.root.pin(first[1])]
    return Scene(by.mesh, by.base, [first, second, [*guests, *below], pin])


def quarrelling_pins() -> Scene:
    """Pins of three ranks on branches of an authority lane, whose pins themselves may be void."""
    by = one_forker()
    dan = hand(by.mesh, "dan")
    base = [*by.base, by.root.grant(dan)]
    nan = hand(by.mesh, "nan")
    granted = dan.grant(nan, perms=MEMBER)
    twins = [nan.twin() for _ in range(3)]
    guests = [hand(by.mesh, name) for name in ("one", "two", "six")]
    made = [
        [twin.grant(guest, perms=MEMBER), twin.pin(by.base[0])]
        for twin, guest in zip(twins, guests, strict=True)
    ]
    other = dan.twin()
    early, late = dan.pin(made[0][0]), dan.pin(made[1][1])
    rival = other.pin(made[1][0])
    pieces = [made[0], made[1], made[2], [early, late], [rival], [by.root.pin(early)]]
    return Scene(by.mesh, [*base, granted], pieces)


def an_ended_lane() -> Scene:
    """Data lanes end after two dead entries: by bogus leaves, and when a grant stops counting."""
    by = one_forker(dead_max=2)
    gus = hand(by.mesh, "gus")
    twin = by.mal.twin()
    granted, rival = by.mal.grant(gus, perms=MEMBER), twin.pin(by.base[0])
    guests = [gus.data(put(by.node, "b", n)) for n in range(4)]
    again = [by.root.grant(gus.author)]
    alive = [gus.data(put(by.node, "b", f"again{n}"), leaf=again[0].id) for n in range(2)]
    fork = gus.twin()
    fork.tips[LANE_DATA] = (guests[3].header.seq, guests[3].id, guests[3].header.hlc)
    other = [fork.data(put(by.node, "b", "fork"), leaf=again[0].id)]
    pieces = [[granted], [rival], [*guests, *alive], [*guests, *other], again]
    return Scene(by.mesh, by.base, [*pieces, [by.root.pin(granted)]])


def a_bogus_suffix() -> Scene:
    """A member writes by grants that nobody holds, beyond the limit, and forks there."""
    by = one_forker(dead_max=2)
    dead = [by.mal.data(put(by.node, "a", n), leaf=bytes([n]) * 32) for n in range(1, 5)]
    twin = by.mal.twin()
    twin.tips[LANE_DATA] = (dead[1].header.seq, dead[1].id, dead[1].header.hlc)
    beyond = [twin.data(put(by.node, "a", "twin")), twin.data(put(by.node, "a", "twin2"))]
    low = by.mal.twin()
    low.tips[LANE_DATA] = (dead[0].header.seq, dead[0].id, dead[0].header.hlc)
    inner = [low.data(put(by.node, "a", "low"))]
    pin = [by.root.pin(beyond[1]), by.root.pin(inner[0])]
    return Scene(by.mesh, by.base, [dead, [*dead[:2], *beyond], inner, pin[:1], pin])


def a_flood() -> Scene:
    """More branches than a lane holds: which of them came first must not matter."""
    by = one_forker()
    floods = [by.branch(word, 2) for word in "stuvw"]
    tip = floods[3][1]
    return Scene(by.mesh, by.base, [*floods, [by.root.pin(tip)]])


def strangers() -> Scene:
    """Entries of unknown authors and behind gaps, more than the rooms hold."""
    by = one_forker()
    others = [hand(by.mesh, name) for name in ("gus", "hal", "ida")]
    grants = [by.mal.grant(other, perms=MEMBER) for other in others]
    said = [
        [other.data(put(by.node, other.author.hex()[:4], n)) for n in range(3)] for other in others
    ]
    shuffled = [entry for three in zip(*said, strict=True) for entry in reversed(three)]
    twin = others[0].write(KIND_DATA, b"\x90")
    return Scene(by.mesh, by.base, [shuffled, list(reversed(shuffled)), grants, [twin]])


SCENES: Sequence[Callable[[], Scene]] = (
    three_branches,
    a_fork_below,
    two_grants,
    an_authority_fork,
    quarrelling_pins,
    an_ended_lane,
    a_bogus_suffix,
    a_flood,
    strangers,
)

__all__ = ["LANE_AUTHORITY", "SCENES", "Scene"]
