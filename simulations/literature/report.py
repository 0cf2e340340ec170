"""The whole experiment: which runs there are, what came of them, as JSON and as tables."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final, TypeAlias

from attrs import asdict, frozen

from simulations.literature.experiment import Figures, run
from simulations.literature.own import CHURN_EVENTS, OwnFigures, run_own
from simulations.literature.paper import BYTES, LITERATURE, MEMORY, PAYLOAD
from simulations.literature.topology import TOPOLOGIES
from simulations.literature.workloads import WORKLOADS

__all__ = ["CHURNED", "OURS", "Plan", "Row", "perform", "plans", "tables", "value_of"]

OURS: Final = "ours"
CHURNED: Final = "ours, churn"
# Our entries are carried whole: a workload changes their size, not how often they are sent.
CHURNED_PLACES: Final = (("gset", "mesh"), ("gmap10", "mesh"))


@frozen
class Plan:
    """One run; all names, so that it may go to another process."""

    workload: str
    topology: str
    algorithm: str
    seed: int


@frozen
class Row:
    """A run and what it cost."""

    plan: Plan
    figures: Figures | OwnFigures


Found: TypeAlias = dict[tuple[str, str, str], Figures | OwnFigures]


def plans(workloads: Iterable[str], algorithms: Sequence[str], *, seed: int) -> list[Plan]:
    """The runs asked for, in the order of the tables. Churn is measured in `CHURNED_PLACES`."""
    return [
        Plan(workload, topology, algorithm, seed)
        for workload in workloads
        for topology in TOPOLOGIES
        for algorithm in algorithms
        if algorithm != CHURNED or (workload, topology) in CHURNED_PLACES
    ]


def perform_one(plan: Plan) -> Row:
    """Perform one run."""
    workload, topology = WORKLOADS[plan.workload], TOPOLOGIES[plan.topology]
    if plan.algorithm == OURS:
        return Row(plan, run_own(workload, topology, seed=plan.seed))
    if plan.algorithm == CHURNED:
        churned = run_own(workload, topology, seed=plan.seed, events=CHURN_EVENTS, is_churned=True)
        return Row(plan, churned)
    return Row(plan, run(workload, topology, plan.algorithm, seed=plan.seed))


def perform(wanted: Sequence[Plan], *, jobs: int, tell: Callable[[Row], None]) -> list[Row]:
    """Perform the runs, *jobs* at a time; they share nothing, so that their order is no matter."""
    rows = []
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for row in pool.map(perform_one, wanted):
            tell(row)
            rows.append(row)
    return rows


def value_of(row: Row) -> dict[str, object]:
    """A row as JSON has it, with what follows from its figures."""
    plan, figures = row.plan, row.figures
    value: dict[str, object] = {**asdict(plan), **asdict(figures), "ratio": figures.ratio}
    if isinstance(figures, OwnFigures):
        value["unsigned_bytes"] = figures.unsigned_bytes
    else:
        value["paper_ratio"] = PAYLOAD[plan.workload, plan.topology][plan.algorithm]
    return value


def _number(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _pair(ours: float | None, theirs: float | None) -> str:
    if ours is None:
        return "–"
    return _number(ours) if theirs is None else f"{_number(ours)} ({_number(theirs)})"


def _table(title: str, heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = ["| " + " | ".join(cells) + " |" for cells in (heads, ["---"] * len(heads), *lines)]
    return "\n".join([f"**{title}**", "", *rows, ""])


def _places(found: Found) -> list[tuple[str, str]]:
    return list(dict.fromkeys((workload, topology) for workload, topology, _ in found))


def _payload(found: Found) -> str:
    lines = []
    for place in _places(found):
        cells = [" ".join(place)]
        for algorithm in LITERATURE:
            figures = found.get((*place, algorithm))
            ratio = None if figures is None else figures.ratio
            cells.append(_pair(ratio, PAYLOAD[place][algorithm]))
        for algorithm in (OURS, CHURNED):
            figures = found.get((*place, algorithm))
            cells.append("–" if figures is None else f"{figures.ratio:.3f}")
        lines.append(cells)
    return _table("Payload, × minimum (theirs)", ("", *LITERATURE, OURS, CHURNED), lines)


def _bytes(found: Found) -> str:
    lines = []
    for place in _places(found):
        base = found.get((*place, "BP+RR"))
        if base is None:
            continue
        cells = [" ".join(place), f"{base.sent_bytes / 1_000:,.0f}"]
        for algorithm in LITERATURE:
            figures = found.get((*place, algorithm))
            ratio = None if figures is None else figures.sent_bytes / base.sent_bytes
            cells.append(_pair(ratio, BYTES.get(place, {}).get(algorithm)))
        own = found.get((*place, OURS))
        if isinstance(own, OwnFigures):
            cells += [
                _number(own.sent_bytes / base.sent_bytes),
                _number(own.unsigned_bytes / base.sent_bytes),
            ]
        else:
            cells += ["–", "–"]
        lines.append(cells)
    heads = ("", "BP+RR, kB", *LITERATURE, f"{OURS}, signed", f"{OURS}, unsigned")
    return _table("Bytes, × those of BP+RR (theirs)", heads, lines)


def _memory(found: Found) -> str:
    lines = []
    for place in _places(found):
        base = found.get((*place, "BP+RR"))
        if not isinstance(base, Figures):
            continue
        cells = [" ".join(place), f"{base.memory:,.0f}"]
        for algorithm in LITERATURE:
            figures = found.get((*place, algorithm))
            ratio = figures.memory / base.memory if isinstance(figures, Figures) else None
            cells.append(_pair(ratio, MEMORY.get(place, {}).get(algorithm)))
        lines.append(cells)
    heads = ("", "BP+RR, elements", *LITERATURE)
    return _table("Memory, × that of BP+RR (theirs)", heads, lines)


def tables(rows: Iterable[Row]) -> str:
    """Three tables in Markdown: payload, bytes, memory; each cell ours, in brackets theirs."""
    found: Found = {
        (row.plan.workload, row.plan.topology, row.plan.algorithm): row.figures for row in rows
    }
    return "\n".join((_payload(found), _bytes(found), _memory(found)))
