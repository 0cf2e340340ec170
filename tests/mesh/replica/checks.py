"""Ways to bring a set of entries to a replica, and what two replicas must then agree on."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from capability.entry import Entry
from capability.keys import SeedSigner
from capability.verdict import Verdict
from tests.capability.oracle import Proof
from tests.mesh.replica.histories import History
from tests.mesh.replica.oracle import Oracle, shown
from tests.mesh.replica.world import Mesh, Node, node_of, seed


def observer(mesh: Mesh) -> Node:
    """A replica whose key is no member's, so that it only listens."""
    return node_of(mesh, SeedSigner(seed("observer")))


def deliver(node: Node, entries: Sequence[Entry], proofs: Sequence[Proof], random: Random) -> None:
    """Shuffled, doubled, in batches of any size, again and again until nothing moves."""
    before = None
    while before != (before := situation(node)):
        waiting: list[Entry | Proof] = [*entries, *proofs]
        waiting += random.choices(waiting, k=len(waiting) // 4)
        random.shuffle(waiting)
        while waiting:
            size = random.choice((1, 1, 2, 7, 40))
            batch, waiting = waiting[:size], waiting[size:]
            effects = []
            listed = [item.encode() for item in batch if isinstance(item, Entry)]
            _, more, offence = node.replica.receive(listed, node.now)
            assert not offence, offence
            effects += more
            for item in batch:
                if not isinstance(item, Entry):
                    _, more, offence = node.replica.receive_proof(*item, node.now)
                    assert not offence, offence
                    effects += more
            node.run(effects)


def situation(node: Node) -> tuple[object, ...]:
    """All on which replicas with the same set must agree."""
    replica = node.replica
    table = replica.table
    verdicts = {table.ids[n]: table.verdicts[n] for n in range(1, table.last + 1)}
    rows = {
        (row.author, row.lane): (row.seq, row.head, row.proof)
        for lane in (0, 1)
        for row in replica.port.rows(lane)
    }
    waiting = replica.counts()["undecided"]
    parked = {table.ids[n] for n in table.parked}
    return (
        verdicts,
        rows,
        replica.port.roots(),
        parked,
        waiting,
        shown(replica),
        replica.state_hash(),
    )


def oracle_of(history: History, node: Node) -> Oracle:
    return Oracle(history.mesh.id, history.entries, history.proofs, node.now.wall_ms)


def check_against(oracle: Oracle, node: Node) -> None:
    """The replica says of everything that is required what the definitions say."""
    verdicts, rows, _, parked, _, state, state_hash = situation(node)
    result = oracle.result
    counted = {entry_id for entry_id, verdict in verdicts.items() if verdict == Verdict.COUNTS}
    assert result.required <= verdicts.keys() <= result.held
    assert counted == result.counted
    assert rows == result.rows
    assert parked == {i for i in verdicts if oracle.parked(oracle.entries[i])}
    assert state == oracle.state()
    assert state_hash == oracle.state_hash()
