"""
One run: a world, its load, the faults that strike it, and two phases.

First safety under faults, with checkers watching every step. Then everything is healed, and the
mesh must converge within a stated time; at rest the checkers compare all hosts. The result is a
plain value, the same for the same code and seed.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from crdt.hlc import milliseconds
from mesh.core.limits import SKEW_MS_MAX
from simulations.checkers import CHECKERS
from simulations.checkers.bounds import Bounds
from simulations.clock import WALL_MS_START
from simulations.coverage import Coverage
from simulations.faults import FAULTS, GROUPS, kinds
from simulations.latency import MODELS
from simulations.overlay import edges_of
from simulations.strike import Strike, draw_schedule
from simulations.watch import Violation
from simulations.workload import Load, Workload
from simulations.world import ALL_PAIRS_MAX, SECOND_US, Livelock, World

if TYPE_CHECKING:
    from simulations.watch import Watcher

#: Before the first strike all members are linked and equal.
SETTLE_S: Final = 10.0
#: After the heal all must be equal and know it. Redial (5 s and a quarter), one comparison
#: (6.25 s), a repair or two that has to wait out `REPAIR_BACKOFF_MS_MAX`.
CONVERGE_S: Final = 120.0
#: LOCAL writes are sealed within this time after the last one; see `FLUSH_INTERVAL_MS`.
SEAL_S: Final = 12.0
#: How far in the future a stamp may be after the heal; then it is waited for. Two clocks' steps of
#: `simulations.faults.clocks.STEP_MS` one upon the other, and as much again.
AHEAD_S_MAX: Final = 12 * 3600.0
#: Of that time so much is lived through, message by message; the rest is slept.
AWAKE_S_MAX: Final = 120.0


@frozen
class Plan:
    """What is to be simulated; everything that a run depends on beside the code."""

    scenario: str = "default"
    seed: int = 0
    nodes: int = 15
    minutes: float = 10.0
    #: Kinds or groups that may strike; a run turns a random subset of the kinds on, unless
    #: `all_kinds`.
    faults: tuple[str, ...] = tuple(GROUPS)
    all_kinds: bool = False
    #: Fixed strikes in place of drawn ones.
    strikes: tuple[Strike, ...] | None = None
    #: Of the drawn or fixed strikes only these, by place; how a failure is made small.
    only: tuple[int, ...] | None = None
    latency: str = "lan"
    regions: tuple[str, ...] = ("",)
    load: Load = field(factory=Load)
    signatures: str = "stand-in"
    #: Which hosts are linked, by name.
    overlay: str = "full"


@frozen
class Result:
    """What came of a run. Times in virtual seconds."""

    scenario: str
    seed: int
    trace_hash: str
    violations: tuple[str, ...]
    converged_after_s: float | None
    messages: int
    bytes: int
    faults: dict[str, int]
    inputs: int
    entries: int
    virtual_s: float
    strikes: int
    #: How often each kind of fault has met each checker; see `simulations.coverage`.
    checks: dict[str, int] = field(factory=dict)
    #: The greatest values seen of what has a bound; see `simulations.checkers.bounds`.
    marks: dict[str, int] = field(factory=dict)


def strikes_of(plan: Plan) -> tuple[Strike, ...]:
    """The schedule of a plan, before `only`."""
    if plan.strikes is not None:
        return plan.strikes
    # A source of its own: what the run draws does not depend on how many strikes were drawn.
    random = Random(plan.seed ^ 0x57121CE)
    named = kinds(plan.faults)
    chosen = [name for name in named if plan.all_kinds or random.random() < 0.5]
    pairs = [(name, FAULTS[name]) for name in chosen or named[:1]]
    return draw_schedule(random, pairs, hosts=plan.nodes, for_s=plan.minutes * 60)


def simulate(plan: Plan, *, watchers: Sequence[Callable[[World], Watcher]] = ()) -> Result:
    """
    Run a plan.

    Args:
        plan: What to run.
        watchers: More of them, each made with the world: meters of a report.
    """
    world = World(plan.seed, latency=MODELS[plan.latency], signatures=plan.signatures)
    checkers = [make(world) for make in CHECKERS.values()]
    coverage = Coverage(checkers)
    for watcher in (*checkers, coverage, *(make(world) for make in watchers)):
        world.watch.add(watcher)
    strikes = strikes_of(plan)
    chosen = range(len(strikes)) if plan.only is None else plan.only
    violations: list[str] = []
    converged: float | None = None
    try:
        edges = edges_of(plan.overlay, plan.nodes, plan.seed)
        world.spawn(plan.nodes, regions=plan.regions, edges=edges)
        world.run(until_s=world.now_s + SETTLE_S)
        _suffer(world, plan, [strikes[at] for at in chosen])
        converged = recover(world)
        _has_suffered(world, len(chosen))
    except (Violation, Livelock) as error:
        violations.append(str(error))
    except Exception as error:
        error.add_note(f"in {plan.scenario}, seed {plan.seed}, {plan.nodes} hosts")
        raise
    return Result(
        scenario=plan.scenario,
        seed=plan.seed,
        trace_hash=world.trace.hexdigest(),
        violations=tuple(violations),
        converged_after_s=converged,
        messages=world.network.messages,
        bytes=world.network.octets,
        faults=dict(sorted(world.watch.faults.items())),
        inputs=world.trace.inputs,
        entries=max((h.disk.store.last_n() for h in world.hosts), default=0),
        virtual_s=world.now_s,
        strikes=len(chosen),
        checks=coverage.tally(),
        marks=next(dict(one.marks) for one in checkers if isinstance(one, Bounds)),
    )


def broken_off(plan: Plan, error: Exception) -> Result:
    """In place of what `simulate` gives: a mistake of the program ended the run of *plan*."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}:{last.lineno}"
    return Result(
        scenario=plan.scenario,
        seed=plan.seed,
        trace_hash="",
        violations=(f"crash: {type(error).__name__} at {where}: {error}",),
        converged_after_s=None,
        messages=0,
        bytes=0,
        faults={},
        inputs=0,
        entries=0,
        virtual_s=0.0,
        strikes=0,
    )


def _suffer(world: World, plan: Plan, strikes: Sequence[Strike]) -> None:
    """The first phase: load and faults."""
    begin_us = world.now_us
    workload = Workload(world, plan.load)
    workload.start()
    end_us = begin_us + round(plan.minutes * 60 * SECOND_US)
    for strike in strikes:
        fault = FAULTS[strike.kind]
        world.at(begin_us + strike.at_us, fault.begin, world, strike)
        if strike.for_us:
            world.at(min(begin_us + strike.at_us + strike.for_us, end_us), fault.end, world, strike)
    world.run(until_s=end_us / SECOND_US)
    workload.stop()


def recover(world: World) -> float:
    """
    The second phase: heal, and demand that all become equal, know it, and stay so.

    Returns:
        How long it took to be equal, in virtual seconds.

    Raises:
        Violation: They did not, or a checker objects when they are at rest.
    """
    world.heal()
    healed_s = world.now_s
    if not world.run_until(lambda: is_settled(world), within_s=CONVERGE_S):
        raise Violation("convergence", "all", f"not equal {CONVERGE_S} s after the heal")
    took_s = world.now_s - healed_s
    world.run(until_s=world.now_s + SEAL_S)
    ahead_s = _ahead_s(world)
    if ahead_s > AHEAD_S_MAX:
        raise Violation("convergence", "all", f"stamps are {ahead_s:.0f} s in the future")
    world.run(until_s=world.now_s + min(ahead_s, AWAKE_S_MAX))
    world.sleep(max(0.0, ahead_s - AWAKE_S_MAX))
    if not world.run_until(lambda: is_settled(world) and not _parks(world), within_s=CONVERGE_S):
        raise Violation("convergence", "all", "not equal after the last seal")
    world.watch.quiesced()
    return took_s


def _has_suffered(world: World, strikes: int) -> None:
    """Faults that were asked for must have taken effect: else a run of calm would pass for more."""
    if strikes and not world.watch.faults:
        raise Violation("coverage", "all", f"{strikes} strikes, and none took effect")


def is_settled(world: World) -> bool:
    """All honest hosts hold the same, and each knows it of every honest one it is linked to."""
    honest = world.honest
    if not all(host.is_up for host in honest):
        return False
    keys = {host.signer.public for host in honest}
    roots = honest[0].running.replica.port.roots()
    for host in honest:
        engine = host.running
        if engine.replica.port.roots() != roots:
            return False
        syncs = [sync for sync in engine.reconcile.status() if sync.peer in keys]
        if not all(sync.in_sync for sync in syncs) or (not syncs and len(honest) > 1):
            return False
    return not _is_stopped(world)


def _is_stopped(world: World) -> bool:
    """
    Whether some host may not write, though everything is there that could tell it that it may.

    A home that was repaired waits for the word of every host that it meets, so all of them must be
    honest; `Doctor` tells it not to wait for others.
    """
    hosts = world.hosts
    if len(hosts) > ALL_PAIRS_MAX or len(world.honest) < len(hosts):
        return False
    return any(host.running.replica.writer.blocked for host in hosts)


def _ahead_s(world: World) -> float:
    """How long until no stamp of an honest host is so far in the future that peers park it."""
    wall_ms = WALL_MS_START + world.now_us // 1000
    last = max(milliseconds(host.running.replica.held.clock.last) for host in world.honest)
    return max(0, last - SKEW_MS_MAX - wall_ms) / 1000


def _parks(world: World) -> bool:
    """Whether something that an honest host wrote is not folded somewhere."""
    keys = {host.signer.public for host in world.honest}
    tables = [host.running.replica.table for host in world.honest]
    return any(table.authors[n] in keys for table in tables for n in table.parked)
