"""
The numbers of a report as plain JSON values, before anything is drawn.

What is drawn is made from these, so that the picture and the file never differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs

from simulations.meters import Meters
from simulations.run import Plan, Result, strikes_of
from simulations.shrink import command_of

SCHEMA_VERSION: Final = 1


def of_run(plan: Plan, result: Result, meters: Meters) -> dict[str, Any]:
    """One run in full."""
    hosts, least = meters.world.hosts, meters.received
    strikes = strikes_of(plan)
    chosen = range(len(strikes)) if plan.only is None else plan.only
    return {
        "command": command_of(plan),
        "result": as_data(result),
        "hosts": [host.name for host in hosts],
        "sent": [{"messages": m, "bytes": b} for m, b in meters.world.network.sent],
        "kinds": {
            kind: {"messages": meters.kinds[kind], "bytes": meters.octets[kind]}
            for kind in sorted(meters.kinds)
        },
        "entries_carried": meters.carried,
        "entries_least": least,
        "redundancy": round(meters.carried / least, 3) if least else None,
        "high_water": dict(sorted(meters.high_water.items())),
        "strikes": [attrs.asdict(strikes[at]) for at in chosen],
        "faults": [[round(at_s, 3), kind] for at_s, kind in meters.faults],
        "samples": {
            "at_s": [round(sample.at_s, 3) for sample in meters.samples],
            "reach": [sample.reach for sample in meters.samples],
            "states": [sample.states for sample in meters.samples],
            "frontiers": [sample.frontiers for sample in meters.samples],
            "queues": {
                name: [sample.queues.get(name, 0) for sample in meters.samples]
                for name in sorted(meters.high_water)
            },
        },
    }


def as_data(result: Result) -> dict[str, Any]:
    """A result as plain values."""
    return {**attrs.asdict(result), "violations": list(result.violations)}


def of_all(results: Sequence[Result]) -> dict[str, Any]:
    """Many runs in short, by seed."""
    ordered = sorted(results, key=lambda result: result.seed)
    faults: dict[str, int] = {}
    for result in ordered:
        for kind, count in result.faults.items():
            faults[kind] = faults.get(kind, 0) + count
    return {
        "runs": len(ordered),
        "violations": sum(bool(result.violations) for result in ordered),
        "virtual_s": round(sum(result.virtual_s for result in ordered), 1),
        "converged_after_s": [result.converged_after_s for result in ordered],
        "faults": dict(sorted(faults.items())),
        "results": [as_data(result) for result in ordered],
    }
