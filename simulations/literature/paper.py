"""
What the authors measured, beside which our figures are put.

One run each of October 2018, computed from the raw data in their repository. Payload is a multiple
of the minimum; bytes and memory are relative to those of BP+RR in the same row.

Source: Enes et al., ICDE 2019; `evaluation/icde19.tar.gz` of the authors' repository
    https://github.com/vitorenesduarte/exp.
"""

from typing import Final, TypeAlias

__all__ = ["BYTES", "LITERATURE", "MEMORY", "PAYLOAD", "TOLERANCE"]

Place: TypeAlias = tuple[str, str]
"""Workload, topology."""

LITERATURE: Final = ("state", "delta", "BP", "RR", "BP+RR", "scuttlebutt")
"""The algorithms, in the order of the columns here; those of `replication.ALGORITHMS`."""

TOLERANCE: Final = 0.05
"""How far a payload of ours may be from theirs."""


def _by_name(rows: dict[Place, tuple[float, ...]]) -> dict[Place, dict[str, float]]:
    return {place: dict(zip(LITERATURE, row, strict=True)) for place, row in rows.items()}


PAYLOAD: Final = _by_name(
    {
        ("gset", "tree"): (104.2, 102.4, 1.00, 2.00, 1.00, 1.00),
        ("gset", "mesh"): (225.5, 219.1, 218.4, 4.28, 3.28, 2.14),
        ("gcounter", "tree"): (2.03, 2.01, 1.00, 2.00, 1.00, 1.00),
        ("gcounter", "mesh"): (4.30, 4.30, 4.29, 4.28, 3.27, 2.14),
        ("gmap10", "tree"): (18.1, 17.5, 1.00, 2.00, 1.00, 1.00),
        ("gmap10", "mesh"): (37.3, 37.5, 37.6, 4.28, 3.28, 2.14),
        ("gmap30", "tree"): (6.31, 6.26, 1.00, 2.00, 1.00, 1.00),
        ("gmap30", "mesh"): (13.3, 13.4, 13.4, 4.27, 3.28, 2.14),
        ("gmap60", "tree"): (3.28, 3.26, 1.00, 2.00, 1.00, 1.00),
        ("gmap60", "mesh"): (6.95, 6.94, 6.97, 4.28, 3.28, 2.11),
        ("gmap100", "tree"): (2.04, 2.02, 1.00, 2.00, 1.00, 1.00),
        ("gmap100", "mesh"): (4.40, 4.34, 4.33, 4.29, 3.29, 2.14),
    }
)

BYTES: Final = _by_name(
    {
        ("gset", "tree"): (65.5, 64.6, 0.99, 1.68, 1.0, 22.1),
        ("gset", "mesh"): (47.9, 46.7, 46.0, 1.22, 1.0, 15.6),
        ("gcounter", "tree"): (1.72, 1.78, 0.99, 1.77, 1.0, 27.2),
        ("gcounter", "mesh"): (1.21, 1.27, 1.26, 1.26, 1.0, 19.4),
        ("gmap10", "tree"): (17.3, 16.8, 1.00, 1.96, 1.0, 6.5),
        ("gmap10", "mesh"): (11.0, 11.1, 11.1, 1.30, 1.0, 4.2),
        ("gmap30", "mesh"): (4.02, 4.06, 4.06, 1.30, 1.0, 1.88),
        ("gmap60", "mesh"): (2.11, 2.11, 2.12, 1.30, 1.0, 1.28),
        ("gmap100", "mesh"): (1.33, 1.32, 1.31, 1.30, 1.0, 1.03),
    }
)

MEMORY: Final = _by_name(
    {
        ("gset", "tree"): (0.98, 2.35, 1.02, 1.01, 1.0, 1.46),
        ("gset", "mesh"): (1.00, 4.85, 4.85, 1.00, 1.0, 1.39),
        ("gcounter", "tree"): (0.50, 1.48, 1.06, 1.07, 1.0, 12.0),
        ("gcounter", "mesh"): (0.40, 2.11, 2.19, 0.93, 1.0, 8.3),
        ("gmap10", "tree"): (0.91, 2.33, 1.01, 0.99, 1.0, 1.56),
        ("gmap10", "mesh"): (0.91, 4.48, 4.49, 0.99, 1.0, 1.34),
        ("gmap30", "mesh"): (0.78, 3.85, 3.86, 1.03, 1.0, 1.53),
        ("gmap60", "mesh"): (0.62, 3.09, 3.06, 1.00, 1.0, 1.62),
        ("gmap100", "mesh"): (0.50, 2.52, 2.52, 1.01, 1.0, 1.83),
    }
)
