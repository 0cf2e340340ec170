"""Growth curves as an SVG, both axes logarithmic: a line of slope one is a cost of O(n)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from tests.bench.measure import Curve

_WIDTH: Final = 720
_HEIGHT: Final = 420
_LEFT: Final = 70
_RIGHT: Final = 270
_TOP: Final = 20
_BOTTOM: Final = 50
_COLOURS: Final = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#d68910", "#34495e", "#7f8c8d")


def _seconds(exponent: int) -> str:
    unit, scale = next(
        (unit, scale) for unit, scale in (("s", 0), ("ms", -3), ("µs", -6)) if exponent >= scale
    )
    return f"{10 ** (exponent - scale):g} {unit}"


def svg(curves: Sequence[Curve]) -> str:
    """The picture; each line is labelled with what it is and the order expected."""
    sizes = [size for curve in curves for size, _ in curve.points]
    times = [time for curve in curves for _, time in curve.points]
    x_from, x_to = math.log10(min(sizes)), math.log10(max(sizes))
    y_from, y_to = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))

    def x(size: float) -> float:
        return _LEFT + (math.log10(size) - x_from) / (x_to - x_from) * (_WIDTH - _LEFT - _RIGHT)

    def y(time: float) -> float:
        part = (math.log10(time) - y_from) / (y_to - y_from)
        return _HEIGHT - _BOTTOM - part * (_HEIGHT - _TOP - _BOTTOM)

    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
    ]
    for exponent in range(y_from, y_to + 1):
        at = y(10.0**exponent)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_seconds(exponent)}</text>'
        )
    foot = _HEIGHT - _BOTTOM + 18
    parts += [
        f'<text x="{x(size):.1f}" y="{foot}" text-anchor="middle">{size:,}</text>'
        for size in sorted(set(sizes))
    ]
    # Labels keep their distance, whatever the lines do.
    ends = sorted(enumerate(curves), key=lambda item: -item[1].points[-1][1])
    label = 0.0
    for number, curve in ends:
        colour = _COLOURS[number % len(_COLOURS)]
        path = "L".join(f"{x(size):.1f} {y(time):.1f}" for size, time in curve.points)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        label = max(label + 16, y(curve.points[-1][1]) + 4)
        parts.append(
            f'<text x="{_WIDTH - _RIGHT + 8}" y="{label:.1f}" fill="{colour}">'
            f"{escape(curve.what)} ({curve.bound})</text>"
        )
    title = "updates or Worknodes; seconds, both logarithmic"
    parts.append(f'<text x="{_LEFT}" y="{_HEIGHT - 10}">{title}</text></svg>')
    return "\n".join(parts) + "\n"
