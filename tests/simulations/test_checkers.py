"""What checkers object to, and what they must let pass."""

from types import SimpleNamespace

import pytest
from attrs import evolve

from mesh.core.effects import Effect, Persist, Send
from mesh.core.inputs import Received
from mesh.core.records import PutEntry, PutPending
from mesh.core.writes import Increment
from mesh.gossip.messages import Prune, Roots
from mesh.replica.pending import Row
from mesh.wire import encode_message
from mesh.worknode import reading
from simulations.checkers import writes
from simulations.checkers.lanes import Stamps
from simulations.checkers.synced import InSync
from simulations.run import Plan, simulate
from simulations.strike import Strike
from simulations.watch import Violation
from simulations.world import World


def test_roots_that_are_ones_own_no_more_are_told() -> None:
    world = World(seed=1)
    host = world.spawn(2)[0]
    world.run(until_s=5.0)
    end = world.network.links(host)[0]
    checker = InSync(world)
    old = encode_message(Roots(bytes(32), bytes(32), 1))
    heard = Received(end.link, encode_message(Prune((host.signer.public,), rest=False)))
    told: list[Effect] = [Send(end.link, old)]
    checker.stepped(host, [heard], told)
    with pytest.raises(Violation, match="not its own"):
        checker.sent(host, end, old)
    # They were when it spoke, and in the same step it let in what it had set aside.
    entry = next(iter(host.disk.store.entries())).entry
    told.append(Persist((PutEntry(1, entry, (), own=True),)))
    checker.stepped(host, [heard], told)
    checker.sent(host, end, old)


def test_after_a_start_no_stamp_comes_again() -> None:
    world = World(seed=1)
    host = world.spawn(1)[0]
    entry = next(iter(host.disk.store.entries())).entry
    hlc = entry.header.hlc

    def row(of: int) -> PutPending:
        return PutPending(1, Row("", of, Increment(bytes(16), 0, "progress", 1)).encode())

    checker = Stamps(world)
    checker.stepped(host, [], [])
    checker.recorded(host, [row(hlc + 5)])
    # The group was opened before the row was written.
    checker.recorded(host, [PutEntry(1, entry, (), own=True)])
    checker.recorded(host, [row(hlc + 6)])
    with pytest.raises(Violation, match="stamps"):
        checker.recorded(host, [row(hlc + 6)])
    checker.started(host)
    later = evolve(entry, header=evolve(entry.header, hlc=hlc + 6))
    with pytest.raises(Violation, match="stamps"):
        checker.recorded(host, [PutEntry(2, later, (), own=True)])


def test_registers_of_hosts_that_kept_their_disks_are_compared_beside_one_that_lost_its(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strikes = (Strike(20_000_000, 10_000_000, "put_back", (3,)),)
    plan = Plan(nodes=4, minutes=0.7, strikes=strikes)
    sound = simulate(plan)
    assert (sound.violations, sound.faults["put_back"]) == ((), 1)
    wrong = {name: getattr(reading, name) for name in ("log", "look", "members")}
    wrong["register"] = lambda *_: "nobody wrote this"
    monkeypatch.setattr(writes, "reading", SimpleNamespace(**wrong))
    broken = simulate(plan).violations
    assert len(broken) == 1
    assert broken[0].startswith("exactly once: ")
