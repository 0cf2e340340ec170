"""Three members write through their own pens, meet, restart and lose commits; then they agree."""

from __future__ import annotations

from random import Random

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from capability.ids import TRASH, root_worknode
from mesh.core.effects import Effect
from mesh.core.errors import LocalError, StorageError
from mesh.core.inputs import EVENTUAL, LOCAL, Submit
from mesh.core.writes import (
    AddToSet,
    Append,
    Create,
    Increment,
    Move,
    RemoveFromSet,
    SetMulti,
    SetRegister,
    Write,
)
from mesh.replica.writer import Submitted
from tests.mesh.replica.checks import check_against, situation
from tests.mesh.replica.hand import hand, root_hand
from tests.mesh.replica.oracle import Oracle
from tests.mesh.replica.world import Node, new_mesh, node_of


@define
class Party:
    """The members' nodes, and every entry whose write was acknowledged."""

    random: Random
    nodes: list[Node]
    known: list[bytes]
    requests: int = 0
    acknowledged: set[bytes] = field(factory=set)

    def write(self) -> Write:
        random = self.random
        node, name = random.choice(self.known), random.choice("xy")
        value = random.randrange(3)
        match random.randrange(9):
            case 0:
                return Create(node, "task", shared_key=b"%d" % random.randrange(5))
            case 1:
                return Create(node, "task", nonce=random.randbytes(16), position=b"\x50")
            case 2:
                target = random.choice([TRASH, *self.known])
                return Move(node, target, b"%c" % random.randrange(60, 90))
            case 3:
                return SetMulti(node, 0, name, value)
            case 4:
                return AddToSet(node, 0, name, value)
            case 5:
                return RemoveFromSet(node, 0, name, value)
            case 6:
                return Increment(node, 1, name, value - 1)
            case 7:
                return Append(node, 2, name, value)
            case _:
                return SetRegister(node, 0, name, value)

    def work(self, node: Node) -> None:
        """One batch: some submits, one commit, which now and then fails."""
        effects: list[Effect] = []
        for _ in range(self.random.randrange(1, 6)):
            self.requests += 1
            writes = tuple(self.write() for _ in range(self.random.randrange(1, 4)))
            level = self.random.choice((LOCAL, EVENTUAL))
            session = self.random.choice(("", "", "agent", "other"))
            before = node.replica.state_hash()
            try:
                request = Submit(self.requests, writes, level, session)
                effects += node.replica.submit(request, node.now)
            except LocalError:
                assert node.replica.state_hash() == before
        if self.random.randrange(8) == 0:
            effects += node.replica.seal_pending(node.now)
        effects += node.replica.seal()
        node.replies.clear()
        if self.random.randrange(10) == 0:
            node.store.fail_next_commit()
        try:
            node.run(effects)
        except StorageError:
            node.reload()
        for reply in node.replies.values():
            assert isinstance(reply, Submitted)
            self.known += [one for one in reply.created if one not in self.known]
            if reply.entry:
                self.acknowledged.add(reply.entry)

    def meet(self, giver: Node, taker: Node) -> None:
        entries = giver.log()
        taker.receive(entries[: self.random.randrange(len(entries) + 1)])

    def step(self) -> None:
        node, other = self.random.sample(self.nodes, 2)
        roll = self.random.randrange(10)
        node.tick(self.random.choice((0, 0, 1, 700)))
        if roll < 6:
            self.work(node)
        elif roll < 8:
            self.meet(node, other)
        elif roll < 9:
            node.run(node.replica.snapshot(least=1))
        else:
            before = situation(node), dict(node.replica.pending.rows)
            node.reload()
            assert (situation(node), node.replica.pending.rows) == before


@given(st.integers(0, 1 << 32))
def test_members_agree_after_any_party(number: int) -> None:
    random = Random(number)
    mesh = new_mesh()
    root = root_hand(mesh)
    members = [hand(mesh, name) for name in ("bob", "carol", "dave")]
    grants = [root.grant(member) for member in members]
    nodes = [node_of(mesh, member.signer, grants) for member in members]
    party = Party(random, nodes, [root_worknode(mesh.id)])
    for _ in range(30):
        party.step()
    for node in nodes:
        assert not node.replica.writer.blocked
        # Rows that a restart has found wait for a peer's word, which a hello brings.
        assert node.replica.check_heads(node.replica.port.heads_of(node.replica.author)) == ""
        node.run(node.replica.seal_pending(node.now))
        assert node.replica.counts()["pending"] == 0
    entries = [entry for node in nodes for entry in node.log()]
    oracle = Oracle(mesh.id, entries, [], nodes[0].now.wall_ms)
    assert party.acknowledged <= oracle.entries.keys()
    assert not oracle.result.verdicts.keys() - {
        i for i, verdict in oracle.result.verdicts.items() if verdict == 0
    }
    for node in nodes:
        for other in nodes:
            node.receive(other.log())
        check_against(oracle, node)
        node.reload()
        check_against(oracle, node)
