"""The page: pictures and tables in one HTML file, which opens anywhere and loads nothing."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, Final

from simulations.report import drawing

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid #ddd; }
td.n { text-align: right; } code { background: #f3f3f3; padding: .1rem .3rem; }
.good { color: #00664b; } .bad { color: #b22; font-weight: 600; }
svg { max-width: 100%; height: auto; }
p.note { color: #555; }
"""

Figures = dict[str, Any]


def page(run: Figures, total: Figures, machine: Figures) -> str:
    """The report of one run in full, of all runs in short, and of what it took here."""
    parts = [_head(run, total), *_run(run)]
    if total["runs"] > 1:
        parts += _all(total)
    parts.append(_machine(machine))
    body = "\n".join(parts)
    title = html.escape(f"{run['result']['scenario']}, seed {run['result']['seed']}")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>Simulation: {title}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _head(run: Figures, total: Figures) -> str:
    result = run["result"]
    took = result["converged_after_s"]
    broken = [text for item in total["results"] for text in item["violations"]]
    if broken:
        verdict = f'<p class="bad">{len(broken)} promises broken.</p>{_list(broken[:20])}'
    else:
        verdict = '<p class="good">No promise was broken.</p>'
    healed = "did not become equal" if took is None else f"{took:.1f} virtual seconds"
    rows = [
        ("hosts", f"{len(run['hosts'])}"),
        ("virtual time", f"{result['virtual_s'] / 60:.1f} minutes"),
        ("entries written", f"{result['entries']:,}"),
        ("equal after the last heal", healed),
        ("messages, bytes", f"{result['messages']:,}, {result['bytes'] / 1e6:.2f} MB"),
        ("sent by one host: messages", _spread([item["messages"] for item in run["sent"]], 1, "")),
        ("sent by one host: bytes", _spread([item["bytes"] for item in run["sent"]], 1000, " kB")),
        ("entries carried", _carried(run)),
        ("trace", result["trace_hash"]),
    ]
    name = html.escape(str(result["scenario"]))
    return (
        f"<h1>{name}, seed {result['seed']}</h1>\n"
        f"<p>The same again: <code>{html.escape(run['command'])}</code></p>\n{verdict}\n"
        + _table(rows)
    )


def _machine(machine: Figures) -> str:
    # The only line that another run of the same seed does not repeat.
    return (
        f'<p class="note" id="machine">On this machine: {machine["cpu_s"]} s of CPU, '
        f"{machine['memory_mb']:,} MB, Python {html.escape(machine['python'])}.</p>"
    )


def _spread(values: Sequence[int], scale: int, unit: str) -> str:
    least, middle, most = min(values), median(values), max(values)
    shown = [f"{value / scale:,.0f}{unit}" for value in (least, middle, most)]
    return f"least {shown[0]}, median {shown[1]}, most {shown[2]}"


def _carried(run: Figures) -> str:
    if run["redundancy"] is None:
        return "none"
    return f"{run['entries_carried']:,}, {run['redundancy']:.2f} × the least possible"


def _run(run: Figures) -> list[str]:
    kinds = [
        (kind, f"{item['messages']:,}", f"{item['bytes'] / 1000:,.1f}")
        for kind, item in run["kinds"].items()
    ]
    marks = [(name, f"{depth:,}") for name, depth in run["high_water"].items()]
    return [
        "<h2>Who could talk to whom</h2>",
        drawing.reach(run),
        "<h2>Divergence</h2>",
        drawing.divergence(run),
        '<p class="note">Red ticks at the upper edge: a fault took effect.</p>',
        "<h2>Messages and bytes</h2>",
        drawing.traffic(run),
        _table(kinds, head=("message", "sent", "kB")),
        "<h2>Queues</h2>",
        drawing.queues(run),
        _table(marks, head=("queue", "most, over all hosts")),
        "<h2>Faults</h2>",
        drawing.faults({"faults": run["result"]["faults"]}),
    ]


def _all(total: Figures) -> list[str]:
    hours = total["virtual_s"] / 3600
    return [
        f"<h2>All {total['runs']:,} runs</h2>",
        f"<p>{total['violations']} with a broken promise; {hours:.1f} virtual hours.</p>",
        drawing.convergence(total),
        drawing.faults(total),
    ]


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>"


def _table(rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    lines = [f"<tr>{top}</tr>"] if head else []
    for first, *rest in rows:
        cells = "".join(f'<td class="n">{html.escape(cell)}</td>' for cell in rest)
        lines.append(f"<tr><td>{html.escape(first)}</td>{cells}</tr>")
    return "<table>" + "".join(lines) + "</table>"
