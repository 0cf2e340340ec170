"""
What `mesh sim` and `python -m simulations` do: options to plans, plans to results and words.

Its own options, in one place, so that both doors have the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final, TypeVar

import attrs
import click

from simulations.faults import FAULTS, kinds
from simulations.identity import SCHEMES
from simulations.overlay import DRAWN, OVERLAYS
from simulations.report.writing import Measured, PicturesMissing, measure, write
from simulations.run import Plan, Result, simulate, strikes_of
from simulations.scenarios import SCENARIOS, plan_of
from simulations.shrink import command_of, fails, promise_of, shrink
from simulations.sweep import ClusterMissing, cores, sweep

F = TypeVar("F", bound=Callable[..., Any])
NODES_MAX: Final = 10_000
RUNS_MAX: Final = 100_000
MINUTES_MAX: Final = 60.0 * 24 * 7


@attrs.frozen
class Request:
    """What was asked for, with the command line's names."""

    scenario: str
    seed: int
    runs: int
    nodes: int | None
    minutes: float | None
    faults: str
    all_kinds: bool
    only: str
    signatures: str
    overlay: str | None
    jobs: int
    cluster: str
    report: str


def options(function: F) -> F:
    """The arguments and options of a simulation, for a click command."""
    for add in reversed(
        [
            click.argument("scenario", type=click.Choice(sorted(SCENARIOS)), default="everything"),
            click.option(
                "--seed", type=click.IntRange(0, 2**63 - 1), default=0, help="Of the first run."
            ),
            click.option(
                "--runs", type=click.IntRange(1, RUNS_MAX), default=1, help="Seeds in a row."
            ),
            click.option("--nodes", type=click.IntRange(2, NODES_MAX), help="Hosts."),
            click.option(
                "--minutes", type=click.FloatRange(0.1, MINUTES_MAX), help="Virtual minutes."
            ),
            click.option(
                "--faults",
                default="",
                help="Kinds or groups that are drawn, with commas; `all`, `none`.",
            ),
            click.option("--all-kinds", is_flag=True, help="All of them, not a random half."),
            click.option(
                "--only", default="", help="Of the strikes only these, by place; or `none`."
            ),
            click.option(
                "--overlay",
                type=click.Choice([*OVERLAYS, DRAWN]),
                help="Who is linked with whom; by default the scenario's.",
            ),
            click.option(
                "--signatures",
                type=click.Choice(sorted(SCHEMES)),
                default="stand-in",
                show_default=True,
            ),
            click.option(
                "--jobs", type=click.IntRange(0), default=1, help="Runs at once; 0: all cores."
            ),
            click.option(
                "--cluster", default="", metavar="ADDRESS", help="A Dask scheduler to run on."
            ),
            click.option(
                "--report", default="", metavar="DIR", help="Write a report with pictures there."
            ),
        ]
    ):
        function = add(function)
    return function


def plans_of(request: Request) -> list[Plan]:
    """
    The plans that a request asks for.

    Raises:
        click.BadParameter: A kind of fault that there is not, or a strike that there is not.
    """
    return [_plan_of(request, request.seed + at) for at in range(request.runs)]


def _plan_of(request: Request, seed: int) -> Plan:
    # From its own seed: that draws a scenario's load and how many strikes there are, too.
    plan = plan_of(request.scenario, seed=seed, nodes=request.nodes, minutes=request.minutes)
    plan = attrs.evolve(plan, all_kinds=request.all_kinds, signatures=request.signatures)
    if request.overlay is not None:
        plan = attrs.evolve(plan, overlay=request.overlay)
    if request.faults:
        plan = attrs.evolve(plan, faults=_kinds(request.faults), strikes=None)
        if not plan.faults:
            plan = attrs.evolve(plan, strikes=())
    if request.only:
        plan = attrs.evolve(plan, only=_places(request.only, plan))
    return plan


def _kinds(text: str) -> tuple[str, ...]:
    if text in ("all", "none"):
        return tuple(FAULTS) if text == "all" else ()
    try:
        return kinds(word.strip() for word in text.split(",") if word.strip())
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _places(text: str, plan: Plan) -> tuple[int, ...]:
    if text == "none":
        return ()
    try:
        places = tuple(sorted({int(word) for word in text.split(",")}))
    except ValueError:
        raise click.BadParameter(f"--only takes places such as 0,3,4, got {text!r}") from None
    count = len(strikes_of(plan))
    if places and not 0 <= places[0] <= places[-1] < count:
        there = f"strikes 0 to {count - 1}" if count else "no strikes"
        raise click.BadParameter(f"--only: seed {plan.seed} has {there}, got {text!r}")
    return places


def run_all(
    request: Request, plans: Sequence[Plan], measured: list[Measured] | None = None
) -> Iterator[Result]:
    """
    The results, as they are ready.

    Args:
        request: What was asked for.
        plans: What is to be run.
        measured: Takes the run that `write_report` will show, if that is known already: one that
            takes an hour need not be made again for its pictures.

    Raises:
        click.ClickException: The cluster's library is not installed.
    """
    if measured is not None and request.report and len(plans) == 1 and not request.cluster:
        measured.append(measure(plans[0]))
        yield measured[0].result
        return
    try:
        yield from sweep(simulate, plans, jobs=request.jobs or cores(), cluster=request.cluster)
    except ClusterMissing as error:
        raise click.ClickException(str(error)) from None


def in_words(result: Result) -> str:
    """A few lines for a person."""
    took = result.converged_after_s
    healed = "did not converge" if took is None else f"equal {took:.1f} s after the heal"
    size = f"{result.entries:,} entries, {result.messages:,} messages, {result.bytes / 1e6:.1f} MB"
    head = f"{result.scenario} seed {result.seed}: {healed}; {size}, trace {result.trace_hash[:8]}"
    lines = [head]
    if result.faults:
        faults = ", ".join(f"{count} × {kind}" for kind, count in result.faults.items())
        lines.append(f"  faults: {faults}")
    lines += [f"  VIOLATION {violation}" for violation in result.violations]
    return "\n".join(lines)


def explain(plan: Plan, result: Result, say: Callable[[str], None]) -> Plan:
    """A plan that failed: print how to run it again, make it small, and print that."""
    say(f"  again: {command_of(plan)}")
    promises = {promise_of(violation) for violation in result.violations}
    small = shrink(plan, is_failing=partial(fails, promises=promises))
    say(f"  small: {command_of(small)}")
    strikes = strikes_of(small)
    for at in small.only or ():
        say(f"    {at:3} {strikes[at]}")
    return small


def write_report(
    request: Request,
    plans: Sequence[Plan],
    results: Sequence[Result],
    measured: Sequence[Measured] = (),
) -> Path:
    """
    The report: the first run that failed, or else the first of all, in full.

    The same seed does the same again, so that it is run once more for it, unless it was *measured*.

    Raises:
        click.ClickException: There is nothing to draw with, or the folder cannot be written to.
    """
    failed = {result.seed for result in results if result.violations}
    shown = next((plan for plan in plans if plan.seed in failed), plans[0])
    try:
        made = next((run for run in measured if run.plan is shown), None) or measure(shown)
        return write(Path(request.report), made, results)
    except PicturesMissing as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise _unwritable(request.report, error) from None


def prepare_report(request: Request) -> None:
    """
    See that the report can be written, before runs that may take hours.

    Raises:
        click.ClickException: There is nothing to draw with, or the folder cannot be written to.
    """
    if not request.report:
        return
    if find_spec("matplotlib") is None:
        raise click.ClickException(str(PicturesMissing()))
    folder = Path(request.report)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(request.report, error) from None


def _unwritable(folder: str, error: OSError) -> click.ClickException:
    return click.ClickException(
        f"--report {folder}: {error.strerror}; name a folder that you may write to, "
        "on a disk with space"
    )
