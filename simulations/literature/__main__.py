"""`python -m simulations.literature`: perform the runs, print the tables, write the JSON."""

import argparse
import json
import sys
from pathlib import Path

from simulations.literature.paper import LITERATURE
from simulations.literature.report import CHURNED, OURS, Row, perform, plans, tables, value_of
from simulations.literature.workloads import WORKLOADS

ALGORITHMS = (*LITERATURE, OURS, CHURNED)


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m simulations.literature",
        description="Payload, bytes and memory of replication algorithms on 15 nodes.",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--workloads", nargs="+", choices=tuple(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--algorithms", nargs="+", choices=ALGORITHMS, default=list(ALGORITHMS))
    parser.add_argument("--json", type=Path, default=Path("reports/literature.json"))
    return parser.parse_args(arguments)


def _tell(row: Row) -> None:
    plan = row.plan
    name = f"{plan.workload} {plan.topology} {plan.algorithm}"
    print(f"{name}: {row.figures.ratio:.3f}", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> None:
    options = _parsed(arguments)
    wanted = plans(options.workloads, options.algorithms, seed=options.seed)
    rows = perform(wanted, jobs=options.jobs, tell=_tell)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    found = [value_of(row) for row in rows]
    options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(tables(rows))
    print(f"All figures: {options.json}")


if __name__ == "__main__":
    main(sys.argv[1:])
