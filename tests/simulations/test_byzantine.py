"""A member that lies, in each way alone: honest hosts converge, and show nothing of its lies."""

from __future__ import annotations

from functools import lru_cache

import pytest

from mesh.core.writes import Create
from mesh.gossip.messages import RootsReply
from mesh.wire import encode_message
from simulations.byzantine import HOSTS_PER_LIAR, Liar
from simulations.faults import GROUPS
from simulations.faults.liars import LIES
from simulations.host import Host
from simulations.lies.words import twist
from simulations.run import Plan, Result, simulate, strikes_of
from simulations.scenarios import plan_of
from simulations.strike import SECOND_US, Strike
from simulations.watch import Watcher
from simulations.world import World

KINDS = tuple(GROUPS["byzantine"])
LIAR = 2
#: Kinds that say what no honest software would: links do not survive it.
BAD_BYTES = ("forges", "replays", "garbage", "lies")


def lie(*kinds: str) -> tuple[Result, World]:
    """Five hosts for one virtual minute, of which one lies for most of it."""
    worlds: list[World] = []
    strikes = tuple(Strike(5 * SECOND_US, 50 * SECOND_US, kind, (LIAR,)) for kind in kinds)

    def keep(world: World) -> Watcher:
        worlds.append(world)
        return Watcher()

    plan = Plan(seed=5, nodes=5, minutes=1, strikes=strikes)
    return simulate(plan, watchers=(keep,)), worlds[0]


#: The same run for all that is asked of it, once.
lying = lru_cache(maxsize=len(KINDS))(lie)


def liar_of(world: World) -> Liar:
    liar = world.hosts[LIAR].liar
    assert liar is not None
    assert liar.has_turned
    return liar


def shown(world: World) -> list[str]:
    """What honest hosts hold or show of what the liar had no right to, or no way, to write."""
    liar = liar_of(world)
    found = []
    for host in world.honest:
        replica = host.running.replica
        found += [f"{host.name} holds {one.hex()}" for one in liar.forged if _holds(host, one)]
        found += [
            f"{host.name} shows {one.hex()}" for one in liar.created if replica.store.exists(one)
        ]
    return found


def _holds(host: Host, entry: bytes) -> bool:
    return bool(host.disk.store.entries_by_id((entry,)))


def refusals(world: World) -> int:
    """How often honest hosts have ended a link with the liar for what came on it."""
    peer = ("peer", world.hosts[LIAR].signer.public)
    return sum(
        line.event == "peer.refused" and peer in line.fields
        for host in world.honest
        for line in host.lines
    )


@pytest.mark.parametrize("kind", KINDS)
def test_alone_it_takes_effect_and_harms_no_honest_host(kind: str) -> None:
    result, world = lying(kind)
    assert result.violations == ()
    assert result.converged_after_s is not None
    assert result.faults[kind] > 5
    assert len(world.honest) == 4
    assert shown(world) == []
    if kind in BAD_BYTES:
        assert refusals(world) > 0


def test_the_honest_write_on_while_one_floods() -> None:
    result, _ = lying("floods")
    calm = simulate(Plan(seed=5, nodes=5, minutes=1, strikes=()))
    assert result.violations == ()
    assert result.entries > calm.entries / 2


def test_a_liar_that_has_heard_the_noise_of_another_lies_on() -> None:
    _, world = lie("lies")
    liar = liar_of(world)
    twist(liar)
    liar.heard.append((7, b"\x92\x07\xc3"))
    reply = encode_message(RootsReply(bytes(32), bytes(32), 1, equal=False))
    assert liar.outlets["lies"](7, reply) == reply


def test_several_kinds_at_once_are_survived() -> None:
    result, world = lying("forks_data", "forks_authority", "lies", "replays", "future")
    assert result.violations == ()
    assert shown(world) == []
    assert len(result.faults) >= 5


def test_a_fork_is_proved_to_all_and_the_authors_log_ends_there() -> None:
    _, world = lying("forks_data")
    author = world.hosts[LIAR].signer.public
    for host in world.honest:
        assert (author, 1) in host.running.replica.forked()


def test_what_a_host_promised_before_it_lied_is_kept() -> None:
    _, world = lying("forks_data")
    liar = liar_of(world)
    fork = liar.branches["data"][0][0].header.seq
    before = [entry for entry in liar.log(1) if entry.header.seq < fork]
    assert before
    for host in world.honest:
        table = host.running.replica.table
        assert all(table.counts(table.number[entry.id]) for entry in before)


def test_the_same_seed_lies_the_same() -> None:
    assert lie("garbage")[0] == lie("garbage")[0]


def test_neither_the_founder_nor_most_hosts_lie() -> None:
    strikes = tuple(Strike(SECOND_US, 20 * SECOND_US, "replays", (n,)) for n in range(6))
    worlds: list[World] = []

    def keep(world: World) -> Watcher:
        worlds.append(world)
        return Watcher()

    plan = Plan(seed=5, nodes=6, minutes=0.5, strikes=strikes)
    assert simulate(plan, watchers=(keep,)).violations == ()
    assert [host.number for host in worlds[0].hosts if not host.is_honest] == [1, 2]


@pytest.mark.parametrize("nodes", [3, 6])
def test_the_scenario_tells_all_lies_whatever_its_size(nodes: int) -> None:
    result = simulate(plan_of("byzantine", nodes=nodes, minutes=0.6))
    assert result.violations == ()
    assert set(result.faults) == set(KINDS)


def test_of_the_scenarios_hosts_at_most_a_third_lie() -> None:
    for nodes in range(2, 40):
        strikes = strikes_of(plan_of("byzantine", nodes=nodes))
        liars = {number for strike in strikes for number in strike.hosts}
        assert {strike.kind for strike in strikes} == set(KINDS)
        assert 0 not in liars
        assert len(liars) == max(1, min(4, nodes // HOSTS_PER_LIAR))


@pytest.mark.slow
def test_all_lies_are_told_at_the_scenarios_defaults() -> None:
    for seed in range(3):
        result = simulate(plan_of("byzantine", seed=seed))
        assert result.violations == ()
        assert set(result.faults) == set(KINDS)


def test_it_lies_on_while_those_whom_it_speaks_of_are_down() -> None:
    restless = tuple(
        Strike(at_s * SECOND_US, 8 * SECOND_US, "kill", (host,))
        for at_s in range(10, 50, 10)
        for host in (0, 1, 3)
    )
    strikes = (Strike(5 * SECOND_US, 50 * SECOND_US, "lies", (LIAR,)), *restless)
    result = simulate(Plan(seed=5, nodes=5, minutes=1, strikes=strikes))
    assert result.violations == ()
    assert result.faults["lies"] > 0
    assert result.faults["kill"] > 0


@pytest.mark.parametrize(
    ("group", "kind", "leaves"), [("processes", "double", [2, 4]), ("byzantine", "replays", [2])]
)
def test_nobody_lies_between_two_that_have_no_other_way(
    group: str, kind: str, leaves: list[int]
) -> None:
    world = World(seed=5)
    world.spawn(5, edges=[(0, 1), (1, 2), (0, 3), (3, 4)])
    for number in range(5):
        strike = Strike(0, 20 * SECOND_US, kind, (number,))
        GROUPS[group][kind].begin(world, strike)
    world.run(until_s=world.now_s + 10)
    # Both leaves may be doubled; of five hosts one may lie.
    assert [host.number for host in world.hosts[:5] if not host.is_honest] == leaves


@pytest.mark.parametrize(("ahead_ms", "liars"), [(0, [2, 3]), (3_600_000, [])])
def test_nobody_turns_while_one_behind_it_that_was_to_lie_has_not(
    ahead_ms: int, liars: list[int]
) -> None:
    """What is stamped ahead keeps a host from turning, maybe to the end."""
    world = World(seed=5)
    world.spawn(6, edges=[(0, 1), (0, 2), (0, 4), (0, 5), (2, 3)])
    world.run(until_s=world.now_s + 10)
    leaf = world.hosts[3]
    leaf.clock.step(ahead_ms, world.now_us)
    leaf.clock_changed()
    world.submit(leaf, Create(leaf.running.replica.store.root, "task", nonce=bytes(16)))
    for number in (3, 2):
        LIES["replays"].begin(world, Strike(0, 20 * SECOND_US, "replays", (number,)))
    world.run(until_s=world.now_s + 15)
    assert [host.number for host in world.hosts if not host.is_honest] == liars
