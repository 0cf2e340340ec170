"""`mesh sim`: the mesh's own protocol in virtual time, with faults."""

from __future__ import annotations

import click

from cli import interrupts
from cli.app import App, command
from simulations import command as simulation
from simulations.report.figures import as_data
from simulations.report.writing import Measured
from simulations.run import Result


@command("sim")
@simulation.options
@click.pass_context
def sim(context: click.Context, /, app: App, **given: object) -> None:
    """
    What happens to a mesh under faults: its own protocol, in virtual time.

    A run depends on nothing but the program and the seed. Exit code 1: a promise was broken, and
    the line that runs it again is printed.
    """
    request = simulation.Request(**given)  # type: ignore[arg-type] # click has made them
    simulation.prepare_report(request)
    plans = simulation.plans_of(request)
    by_seed = {plan.seed: plan for plan in plans}
    results: list[Result] = []
    measured: list[Measured] = []
    # The processes that it started are to end with it.
    with interrupts.raising():
        for result in simulation.run_all(request, plans, measured):
            results.append(result)
            app.progress(f"{len(results)} of {len(plans)} runs")
            if not app.is_json:
                app.line(None, simulation.in_words(result))
            if result.violations:
                simulation.explain(by_seed[result.seed], result, app.note)
    results.sort(key=lambda result: result.seed)
    if request.report:
        path = simulation.write_report(request, plans, results, measured)
        app.note(f"report: {path}")
    code = int(any(result.violations for result in results))
    if app.is_json:
        data = [as_data(result) for result in results]
        app.done(data if request.runs > 1 else data[0], code=code)
    context.exit(code)
