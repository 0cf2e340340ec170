"""
The pictures of a report, as SVG text, by matplotlib without a display.

Colours are Okabe and Ito's, which people with any colour vision can tell apart; nothing is said by
colour alone that the axes or the legend do not say, too.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from simulations.meters import DOWN, PAUSED

BLUE, ORANGE, GREEN, RED, PURPLE, SKY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
)
PIECES: Final = (BLUE, ORANGE, GREEN, PURPLE, SKY, "#F0E442", "#999999", "#661100")
DOWN_COLOUR: Final = "#222222"
PAUSED_COLOUR: Final = "#DDDDDD"
WIDTH_IN: Final = 9.0
#: Fault marks that one picture shows; the JSON has all.
MARKS_MAX: Final = 200

Figures = dict[str, Any]


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    # Without a date and with fixed ids the same run gives the same file.
    with mpl.rc_context({"svg.hashsalt": "worknode-mesh", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _axes(height_in: float, *, title: str, x: str, y: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def reach(data: Figures) -> str:
    """Who could talk to whom: one line a host, one colour a piece of the network."""
    samples, hosts = data["samples"], data["hosts"]
    height = 1.4 + 0.22 * len(hosts) if len(hosts) <= 40 else 6.0
    figure, axes = _axes(height, title="Who could talk to whom", x="virtual seconds", y="host")
    rows, pieces = _coloured(samples["reach"])
    colours = [PAUSED_COLOUR, DOWN_COLOUR, *PIECES]
    shown = ListedColormap(colours)
    norm = BoundaryNorm(range(-2, len(PIECES) + 1), shown.N)
    times = samples["at_s"]
    axes.pcolormesh(
        [*times, 2 * times[-1] - times[-2] if len(times) > 1 else times[-1] + 1],
        [n - 0.5 for n in range(len(hosts) + 1)],
        rows,
        cmap=shown,
        norm=norm,
        rasterized=True,
    )
    if len(hosts) <= 40:
        axes.set_yticks(range(len(hosts)), hosts, fontsize=7)
    axes.invert_yaxis()
    marks = [Patch(color=PIECES[n % len(PIECES)], label=f"piece {n + 1}") for n in range(pieces)]
    seen = {state for row in samples["reach"] for state in row}
    marks += [Patch(color=DOWN_COLOUR, label="down")] if DOWN in seen else []
    marks += [Patch(color=PAUSED_COLOUR, label="paused")] if PAUSED in seen else []
    axes.legend(
        handles=marks, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7, frameon=False
    )
    return _svg(figure)


def _coloured(samples: Sequence[Sequence[int]]) -> tuple[list[list[int]], int]:
    """By host and time a colour: pieces by size, the largest first; down and paused below 0."""
    columns, most = [], 1
    for states in samples:
        sizes: dict[int, int] = {}
        for state in states:
            if state >= 0:
                sizes[state] = sizes.get(state, 0) + 1
        ranked = sorted(sizes, key=lambda piece: (-sizes[piece], piece))
        place = {piece: at % len(PIECES) for at, piece in enumerate(ranked)}
        most = max(most, min(len(ranked), len(PIECES)))
        columns.append([place[state] if state >= 0 else state for state in states])
    return [list(row) for row in zip(*columns, strict=True)], most


def divergence(data: Figures) -> str:
    """Distinct states among the hosts that are up, over time, with the faults above."""
    samples = data["samples"]
    figure, axes = _axes(
        2.8, title="How far apart: distinct states", x="virtual seconds", y="distinct hashes"
    )
    times = samples["at_s"]
    # The wider line lies below, so that both are seen where they are equal.
    axes.step(times, samples["frontiers"], where="post", color=ORANGE, lw=3.2, label="entries held")
    axes.step(times, samples["states"], where="post", color=BLUE, lw=1.4, label="state")
    for at_s, _ in data["faults"][:MARKS_MAX]:
        axes.axvline(at_s, ymin=0.96, color=RED, lw=0.6)
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper right", fontsize=8, frameon=False)
    return _svg(figure)


def traffic(data: Figures) -> str:
    """Messages and bytes that each host sent."""
    hosts, sent = data["hosts"], data["sent"]
    figure = Figure(figsize=(WIDTH_IN, 2.6), layout="constrained")
    for axes, key, colour, scale, unit in zip(
        figure.subplots(1, 2),
        ("messages", "bytes"),
        (BLUE, GREEN),
        (1, 1e6),
        ("messages", "MB"),
        strict=True,
    ):
        axes.bar(range(len(hosts)), [item[key] / scale for item in sent], color=colour, width=0.8)
        axes.set_title(f"Sent by each host: {unit}", loc="left", fontsize=11)
        axes.set_xlabel("host")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return _svg(figure)


def queues(data: Figures) -> str:
    """The fullest queue of each kind, as a share of its own greatest depth."""
    samples = data["samples"]
    figure, axes = _axes(
        2.8, title="Queues: the fullest over all hosts", x="virtual seconds", y="depth + 1 (log)"
    )
    colours = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, "#999999", "#000000")
    for colour, (name, depths) in zip(colours, samples["queues"].items(), strict=False):
        if any(depths):
            label = f"{name} (most {max(depths):,})"
            axes.step(
                samples["at_s"],
                [d + 1 for d in depths],
                where="post",
                lw=1,
                color=colour,
                label=label,
            )
    axes.set_yscale("log")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7, frameon=False)
    return _svg(figure)


def faults(data: Figures) -> str:
    """How often each kind of fault took effect."""
    counted: dict[str, int] = data["faults"]
    height = 1.2 + 0.22 * max(1, len(counted))
    figure, axes = _axes(height, title="Faults that took effect", x="times", y="")
    names = sorted(counted, key=lambda name: counted[name])
    bars = axes.barh(names, [counted[name] for name in names], color=RED, height=0.7)
    axes.bar_label(bars, fontsize=7, padding=2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(axis="y", labelsize=8)
    return _svg(figure)


def convergence(data: Figures) -> str:
    """How long after the heal all were equal, over all seeds."""
    took = [value for value in data["converged_after_s"] if value is not None]
    figure, axes = _axes(
        2.6, title="Equal again after the heal, over seeds", x="virtual seconds", y="runs"
    )
    if took:
        axes.hist(took, bins=min(40, max(5, len(took) // 3)), color=GREEN, edgecolor="white")
    return _svg(figure)
