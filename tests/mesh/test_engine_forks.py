"""An author who equivocates: whatever each side was shown, all end with one proof and one state."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from capability import permissions
from capability.bodies import MEMBER, PinRow
from capability.entry import LANE_DATA, Entry
from capability.keys import SeedSigner
from capability.limits import NEVER_MS
from mesh.core.inputs import IssueGrant
from mesh.gossip.messages import Push
from mesh.worknode.reading import register
from tests.mesh.replica.hand import Hand, create, put
from tests.mesh.replica.world import seed
from tests.mesh.swarm import check
from tests.mesh.swarm.caller import Caller
from tests.mesh.swarm.host import Host
from tests.mesh.swarm.world import World

MAL = SeedSigner(seed("mal"))


class Scene:
    """Ann, Bob and Cec in a line, apart; Mal is a member, and has written one Worknode for all."""

    def __init__(self, number: int = 0) -> None:
        self.world = World(seed=number)
        for name, by in (("bob", "ann"), ("cec", "bob")):
            self.world.join(name, by=by)
            check.converges(self.world)
        self.hosts = [self.world.hosts[name] for name in ("ann", "bob", "cec")]
        ann = self.hosts[0]
        root = ann.engine.replica.store.root
        request = IssueGrant(
            ann.next_request(), MAL.public, MEMBER, (root,), permissions.MEMBER, 8, NEVER_MS
        )
        grant = ann.ask(request).value
        assert isinstance(grant, bytes)
        self.hand = Hand(MAL, self.world.mesh, grant)
        made = create(root, shared=b"mal")
        self.node = made.node
        trunk = [self.hand.data(made), self.hand.data(put(self.node, "a", "trunk"))]
        check.converges(self.world)
        self.show(ann, trunk)
        check.converges(self.world)
        self.world.partition(["ann"], ["bob"], ["cec"])

    def show(self, host: Host, entries: Sequence[Entry]) -> None:
        """Mal pushes these to one host, and goes."""
        caller = Caller(host, MAL)
        caller.tell(caller.hello(), Push(tuple(entry.encode() for entry in entries)))
        caller.close()

    def branch(self, word: str, length: int = 2) -> list[Entry]:
        """Another continuation of the trunk."""
        twin = self.hand.twin()
        return [twin.data(put(self.node, "a", f"{word} {i}")) for i in range(length)]

    def pin(self, host: Host, tip: Entry) -> None:
        """A root's word for one branch."""
        row = PinRow(MAL.public, None, (tip.header.seq, tip.id))
        replica = host.engine.replica
        host._finish(replica.writer.pin([row], b"", host.now) + replica.finish(), ())

    def agree_on_the_fork(self, value: object) -> None:
        """One proof, one state, the same after a restart; and the links are in sync."""
        self.world.heal()
        check.converges(self.world)
        check.reloads_equal(self.world)
        rows = {host.engine.replica.port.row(MAL.public, LANE_DATA) for host in self.hosts}
        assert len(rows) == 1
        assert rows.pop().proof
        for host in self.hosts:
            assert host.engine.replica.forked() == [(MAL.public, LANE_DATA)]
            assert register(host.engine.replica, self.node, 0, "a") == value
            assert host.status()["forked"] == [[MAL.public.hex(), LANE_DATA]]


@pytest.mark.parametrize("lengths", [(1, 1), (3, 1), (1, 3), (40, 35)])
@pytest.mark.parametrize("places", [(0, 1), (1, 2), (2, 0)])
def test_two_branches_are_void_from_the_fork_on(
    places: tuple[int, int], lengths: tuple[int, int]
) -> None:
    scene = Scene()
    for word, place, length in zip("xy", places, lengths, strict=True):
        scene.show(scene.hosts[place], scene.branch(word, length))
    scene.agree_on_the_fork("trunk")
    for host in scene.hosts:
        (fork,) = host.status()["forks"]
        assert (fork["node_id"], fork["lane"], fork["seq"]) == (MAL.public.hex(), LANE_DATA, 3)
        table = host.engine.replica.table
        behind = [
            n for n, seq in enumerate(table.seqs) if table.authors[n] == MAL.public and seq > 2
        ]
        assert fork["void"] == len(behind) <= sum(lengths)
    # Of one branch entry each a host may hold the proof alone.
    assert any(host.status()["forks"][0]["void"] for host in scene.hosts)


@pytest.mark.parametrize("number", range(4))
def test_three_branches_end_with_the_same_proof(number: int) -> None:
    scene = Scene(number)
    for word, host in zip("xyz", scene.hosts, strict=True):
        scene.show(host, scene.branch(f"{word}{number}", 1 + number))
    scene.agree_on_the_fork("trunk")


@pytest.mark.parametrize("pinned", [0, 1, 2])
def test_a_pin_by_the_root_restores_its_branch_everywhere(pinned: int) -> None:
    scene = Scene()
    branches = [scene.branch(word, 3) for word in "xyz"]
    for host, branch in zip(scene.hosts, branches, strict=True):
        scene.show(host, branch)
    scene.pin(scene.hosts[0], branches[pinned][-1])
    scene.agree_on_the_fork(f"{'xyz'[pinned]} 2")


def test_a_fork_below_a_known_fork_moves_the_proof_down() -> None:
    scene = Scene()
    first, second = scene.branch("x", 6), scene.branch("y", 6)
    later = scene.hand.twin()
    later.tips[LANE_DATA] = (first[3].header.seq, first[3].id, first[3].header.hlc)
    third = [later.data(put(scene.node, "a", "z")) for _ in range(2)]
    scene.show(scene.hosts[0], first)
    scene.show(scene.hosts[1], first[:4] + third)
    scene.world.heal()
    check.converges(scene.world)
    assert {register(host.engine.replica, scene.node, 0, "a") for host in scene.hosts} == {"x 3"}
    scene.show(scene.hosts[2], second)
    scene.agree_on_the_fork("trunk")


def test_an_author_who_is_void_stays_linked_and_quiet() -> None:
    scene = Scene()
    for word, host in zip("xy", scene.hosts, strict=False):
        scene.show(host, scene.branch(word))
    scene.agree_on_the_fork("trunk")
    scene.world.run(20_000)
    with scene.world.counting() as sent:
        scene.world.run(60_000)
    assert set(sent) == {"Roots", "RootsReply"}


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_pinned_branch_longer_than_a_window_arrives(is_cut: bool) -> None:
    scene = Scene()
    twin = scene.hand.twin()
    long = [twin.data(put(scene.node, "a", f"{i}" + "." * 60_000)) for i in range(10)]
    scene.show(scene.hosts[0], long)
    scene.show(scene.hosts[1], scene.branch("y", 2))
    scene.pin(scene.hosts[0], long[-1])
    if is_cut:
        scene.world.heal()
        held = scene.hosts[1].engine.replica.table.number
        assert scene.world.run(60_000, until=lambda: long[2].id in held)
        assert long[-1].id not in held
        scene.world.cut(scene.world.links_of("ann")[0])
    scene.agree_on_the_fork("9" + "." * 60_000)
