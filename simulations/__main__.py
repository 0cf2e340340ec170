"""
`python -m simulations SCENARIO …`: as `mesh sim`, for people who have only the source.

`python -m simulations drill …` plants mistakes instead: see `simulations.drills`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from mesh.core.errors import LocalError, UsageError
from simulations import command, drilling
from simulations.report.writing import Measured
from simulations.run import Plan


@click.command()
@command.options
def main(**given: object) -> None:
    """Run the mesh's own protocol in virtual time, and see what happens."""
    request = command.Request(**given)  # type: ignore[arg-type] # click has made them
    command.prepare_report(request)
    plans = command.plans_of(request)
    by_seed: dict[int, Plan] = {plan.seed: plan for plan in plans}
    results = []
    measured: list[Measured] = []
    for result in command.run_all(request, plans, measured):
        print(command.in_words(result), flush=True)
        results.append(result)
        if result.violations:
            command.explain(by_seed[result.seed], result, print)
    if request.report:
        print(command.write_report(request, plans, results, measured))
    sys.exit(any(result.violations for result in results))


def run(arguments: Sequence[str]) -> None:
    """As `main`, and with the exit codes of `mesh`: 2 for what cannot be run or written."""
    try:
        main(list(arguments), prog_name="python -m simulations", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(UsageError.exit_code)
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        sys.exit(LocalError.exit_code)


if __name__ == "__main__":
    if sys.argv[1:2] == ["drill"]:
        drilling.main(sys.argv[2:])
    run(sys.argv[1:])
