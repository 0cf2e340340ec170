"""
Drills: mistakes planted on purpose, each of which the simulator must find.

A drill patches one place of the product, or of the driver's stand-in, while a `with` block lasts;
nothing of it is in what is shipped. It names the plan under which it is hunted and the checkers
that may be the first to object. A checker that lets a drill pass is as good as absent.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any, Final

from attrs import evolve, frozen

from crdt.codec import encode
from mesh.core.effects import Reply, Send
from mesh.replica.judge import COUNTS
from simulations.run import Plan, simulate
from simulations.strike import SECOND_US, Strike
from simulations.workload import Load

#: An assertion of the product that fires is a finding, too.
ASSERTION: Final = "assertion"

_CALM: Final = Plan(scenario="drill", nodes=4, minutes=1.0, strikes=())
_KILLS: Final = Plan(scenario="drill", nodes=4, minutes=2.0, faults=("kill",), all_kinds=True)
#: Two halves, while an intruder forks its log.
_SPLIT: Final = Strike(12 * SECOND_US, 40 * SECOND_US, "halves", (0, 1))


def _lying(kind: str) -> Strike:
    """One of five lies for most of a minute."""
    return Strike(5 * SECOND_US, 50 * SECOND_US, kind, (2,))


@frozen
class Drill:
    """One planted mistake."""

    about: str
    plant: Callable[[], AbstractContextManager[None]]
    plan: Plan
    #: Who may be the first to object.
    found_by: tuple[str, ...]
    #: A seed by which it is found, for the quick tests.
    seed: int = 0


@frozen
class Finding:
    """The first run that found a drill."""

    seed: int
    checker: str
    what: str


def hunt(drill: Drill, seeds: Iterable[int]) -> Finding | None:
    """Run the drill's plan with these seeds until a checker objects."""
    with drill.plant():
        for seed in seeds:
            try:
                violations = simulate(evolve(drill.plan, seed=seed)).violations
            except AssertionError as error:
                return Finding(seed, ASSERTION, str(error))
            if violations:
                checker, _, what = violations[0].partition(": ")
                return Finding(seed, checker, what)
    return None


@contextmanager
def _patched(place: str, name: str, made: Callable[[Any], object]) -> Iterator[None]:
    """Put what *made* makes of the former value in its place; *place* is a module, or its class."""
    module, _, owner_name = place.partition(":")
    owner = importlib.import_module(module)
    if owner_name:
        owner = getattr(owner, owner_name)
    former = vars(owner)[name]
    setattr(owner, name, made(former))
    try:
        yield
    finally:
        setattr(owner, name, former)


def _plant(
    place: str, name: str, made: Callable[[Any], object]
) -> Callable[[], AbstractContextManager[None]]:
    return lambda: _patched(place, name, made)


def _never(value: object) -> Callable[[Any], object]:
    """In place of a function: one that does nothing and says *value*."""
    return lambda _former: lambda *_args, **_options: value


@contextmanager
def _forgets_to_sync() -> Iterator[None]:
    """A commit is acknowledged while it is in a cache; a crash takes the last one away."""
    before: dict[int, Any] = {}

    def finishing(former: Callable[..., Any]) -> object:
        def finish(disk: Any) -> Any:
            before[id(disk)] = disk.store.copy()
            return former(disk)

        return finish

    def crashing(former: Callable[..., Any]) -> object:
        def crash(disk: Any, random: Any, **_options: Any) -> Any:
            former(disk, random, keeps=False)
            disk.store = before.pop(id(disk), disk.store)
            return ()

        return crash

    with (
        _patched("simulations.disk:Disk", "finish", finishing),
        _patched("simulations.disk:Disk", "crash", crashing),
    ):
        yield


def _answers_first(former: Callable[..., None]) -> object:
    def finish_batch(host: Any, inputs: Any, effects: list[Any]) -> None:
        early = [effect for effect in effects if isinstance(effect, Reply | Send)]
        host._execute_all(early)  # noqa: SLF001 - what is patched is private
        former(host, inputs, [effect for effect in effects if effect not in early])

    return finish_batch


@contextmanager
def _without_heads() -> Iterator[None]:
    def hashing(_former: object) -> object:
        def bucket_hashes(tree: Any) -> tuple[bytes, ...]:
            return tuple(
                encode(tuple((row.author, row.seq) for _, row in sorted(bucket.items())))
                for bucket in tree._buckets  # noqa: SLF001 - what is patched is private
            )

        return bucket_hashes

    def comparing(former: Callable[..., Any]) -> object:
        return lambda mine, theirs: former(mine, evolve(theirs, head=mine.head))

    with (
        _patched("capability.frontier:_Tree", "bucket_hashes", hashing),
        _patched("mesh.gossip.comparison", "compare", comparing),
        _patched("mesh.gossip.exchange", "compare", comparing),
    ):
        yield


def _forgets_closed(former: Callable[..., list[Any]]) -> object:
    def closed(membership: Any, link: int, reason: str, now: Any) -> list[Any]:
        held = membership._links.get(link)  # noqa: SLF001 - what is patched is private
        effects = former(membership, link, reason, now)
        return effects + (membership.forget(held.peer) if held is not None else [])

    return closed


def _keeps_rows(former: Callable[..., list[Any]]) -> object:
    def drain(rows: Any, *, whole: bool) -> list[Any]:
        drained = former(rows, whole=whole)
        for slot, row in drained:
            rows.keep(slot, row)
        return drained

    return drain


def _keeps_body(_former: Callable[..., bytes]) -> object:
    return lambda _found, entry: entry.body


def _always_equal(former: Callable[..., Any]) -> object:
    return lambda session, version: evolve(former(session, version), in_sync=True)


def _drops_what_waited(former: Callable[..., None]) -> object:
    def admit(admission: Any, queue: list[Any], outcome: Any, wall_ms: int) -> None:
        before = len(outcome.records)
        former(admission, queue, outcome, wall_ms)
        del outcome.records[before + 1 :]

    return admit


def _ready_once(former: Callable[..., None]) -> object:
    met: set[tuple[int, bytes]] = set()

    def ready(broadcast: Any, link: int, peer: bytes) -> None:
        if (id(broadcast), peer) not in met:
            met.add((id(broadcast), peer))
            former(broadcast, link, peer)

    return ready


def _tells_one(former: Callable[..., Iterator[Any]]) -> object:
    return lambda links, turn: islice(former(links, turn), 1)


def _forgets_nothing(_former: object) -> object:
    def put(table: dict[Any, Any], key: Any, value: Any, _most: int) -> None:
        table.pop(key, None)
        table[key] = value

    return put


def _parks_nothing(_former: object) -> object:
    def observe(held: Any, _n: int, header: Any, *, wall_ms: int) -> bool:  # noqa: ARG001
        held.clock.observe(header.hlc)
        return True

    return observe


def _releases_rows(former: Any) -> object:
    def load(cls: Any, *args: Any) -> Any:
        found = former.__func__(cls, *args)
        found.release()
        return found

    return classmethod(load)


def _forgets_own_stamps(former: Callable[..., bool]) -> object:
    def observe(held: Any, n: int, header: Any, *, wall_ms: int) -> bool:
        return header.author == held.author or former(held, n, header, wall_ms=wall_ms)

    return observe


DRILLS: Final[dict[str, Drill]] = {
    "refold skipped": Drill(
        "what was folded of a lane stays when its fork is proven (`mesh.replica.fold`)",
        _plant("mesh.replica.fold:Fold", "fold_again", _never(None)),
        evolve(_CALM, load=Load(forks=True)),
        ("agreement", "authority", "exactly once"),
    ),
    "deferred forgotten": Drill(
        "what waits behind a gap is never looked at again (`mesh.replica.admission`)",
        _plant("mesh.replica.admission:Admission", "_next_in_lane", _never([])),
        evolve(_KILLS, faults=("reorder", "drop", "isolated")),
        ("convergence",),
        seed=2,
    ),
    "sync forgotten": Drill(
        "commits are acknowledged before the fsync (`simulations.disk`, for the driver's store)",
        _forgets_to_sync,
        _KILLS,
        ("acknowledged", "durability", "no fork", "stamps", "causal order", "convergence"),
    ),
    "answered first": Drill(
        "replies and messages leave before the commit (`simulations.host`, for the driver)",
        _plant("simulations.host:Host", "_finish_batch", _answers_first),
        _CALM,
        ("acknowledged", "durability"),
    ),
    "no heads": Drill(
        "frontiers are compared by numbers, without heads (`capability.frontier`)",
        _without_heads,
        evolve(_CALM, strikes=(_SPLIT,), load=Load(forks=True)),
        ("agreement",),
    ),
    "all covered": Drill(
        "operations are folded whatever the grant says (`mesh.replica.judge`)",
        _plant("mesh.replica.fold", "judge", _never(COUNTS)),
        _CALM,
        ("authority",),
    ),
    "no redial": Drill(
        "a peer whose link is gone is forgotten (`mesh.gossip.membership`)",
        _plant("mesh.gossip.membership:Membership", "_closed", _forgets_closed),
        evolve(_KILLS, faults=("halves", "isolated")),
        ("convergence",),
    ),
    "rows sealed twice": Drill(
        "LOCAL rows wait on after they were sealed (`mesh.replica.pending`)",
        _plant("mesh.replica.pending:PendingRows", "drain", _keeps_rows),
        _CALM,
        ("exactly once", "acknowledged"),
    ),
    "always in sync": Drill(
        "every link is said to be in sync (`mesh.gossip.session`)",
        _plant("mesh.gossip.session:Session", "status", _always_equal),
        _CALM,
        ("in sync",),
        seed=1,
    ),
    "stamps come again": Drill(
        "a start does not read the own stamps of the log (`mesh.replica.held`)",
        _plant("mesh.replica.held:Held", "observe", _forgets_own_stamps),
        evolve(_KILLS, faults=("kill", "step"), load=Load(eventual_per_s=1.0)),
        # The lane itself refuses to be continued by a stamp that is not later.
        (ASSERTION, "stamps"),
    ),
    "cycles": Drill(
        "a move is not asked whether it closes a cycle (`crdt.tree`)",
        _plant("crdt.tree:MovableTree", "_reaches", _never(value=False)),
        evolve(_CALM, load=Load(eventual_per_s=1.0, eventual={"create": 1, "move": 4})),
        ("tree",),
    ),
    "what waited is not written": Drill(
        "what a gap had held up is held, and its entries are not kept (`mesh.replica.admission`)",
        _plant("mesh.replica.admission:Admission", "_admit", _drops_what_waited),
        evolve(_KILLS, faults=("reorder", "drop", "isolated")),
        ("causal order",),
        seed=2,
    ),
    "repaired in haste": Drill(
        "a home is repaired and writes when one peer has spoken (`mesh.replica.recovery`)",
        _plant("mesh.replica.recovery:Recovery", "absent", _never([])),
        evolve(_KILLS, faults=("damage", "isolated", "halves")),
        # On a disk that has both branches one entry does not follow the last; and rows that were
        # sealed already are sealed again.
        ("no fork", "causal order", "exactly once"),
        seed=2,
    ),
    "repaired and alone": Drill(
        "a home is repaired and writes before it has met a peer (`mesh.replica.recovery`)",
        _plant("mesh.replica.recovery:Recovery", "is_over", _never(value=True)),
        evolve(_KILLS, faults=("damage", "isolated", "halves")),
        ("no fork", "acknowledged", "exactly once", "convergence", ASSERTION),
        seed=1,
    ),
    "rows in haste": Drill(
        "rows that a start finds are sealed before a peer has spoken (`mesh.replica.found`)",
        _plant("mesh.replica.found:FoundRows", "load", _releases_rows),
        evolve(_KILLS, faults=("put_back",)),
        ("exactly once",),
    ),
    "rows said again": Drill(
        "what found rows became is signed anew with what the log has (`mesh.replica.found`)",
        _plant("mesh.replica.found:FoundRows", "without_sealed", _keeps_body),
        evolve(
            _KILLS,
            minutes=3.0,
            faults=("put_back", "isolated", "kill", "power_loss", "halves", "damage", "step"),
            overlay="drawn",
        ),
        ("exactly once",),
        seed=4,
    ),
    "no mark": Drill(
        "own entries leave and nothing on disk says so (`mesh.engine`)",
        _plant("mesh.engine:Engine", "_mark_sent", _never([])),
        _CALM,
        ("durability",),
    ),
    "nothing parked": Drill(
        "stamps of any time are taken for the present (`mesh.replica.held`)",
        _plant("mesh.replica.held:Held", "observe", _parks_nothing),
        evolve(_CALM, nodes=5, strikes=(_lying("future"),)),
        ("stamps",),
    ),
    "nothing forgotten": Drill(
        "what the push knows of a link grows without end (`mesh.gossip.tree`)",
        _plant("mesh.gossip.tree", "put", _forgets_nothing),
        evolve(_CALM, nodes=5, strikes=(_lying("floods"),)),
        ("bounds",),
    ),
    "link forgotten": Drill(
        "a peer that is linked again is not pushed to any more (`mesh.gossip.broadcast`)",
        _plant("mesh.gossip.broadcast:Broadcast", "ready", _ready_once),
        evolve(_KILLS, faults=("reset",)),
        ("push",),
    ),
    "told by one link": Drill(
        "announcements leave on one link and wait on no other (`mesh.gossip.broadcast`)",
        _plant("mesh.gossip.broadcast", "haves", _tells_one),
        _CALM,
        ("push",),
    ),
    "deaf to grafts": Drill(
        "who asks for what was announced is not answered (`mesh.gossip.broadcast`)",
        _plant("mesh.gossip.broadcast:Broadcast", "_on_graft", _never([])),
        evolve(_KILLS, faults=("reset", "pair", "drop")),
        ("push",),
        seed=1,
    ),
}
