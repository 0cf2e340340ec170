"""`python -m tests.bench [question …] [--write]`: measure, print, and keep in docs/ if asked to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from tests.bench.commands import REPOSITORY
from tests.bench.measure import Answer, Curve, Row, machine, table, version_of
from tests.bench.plot import svg

QUESTIONS = ("apply", "peers", "writes", "visible", "homes", "rest", "commands")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def _ask(question: str) -> Answer:
    """In a process of its own, so that no question is answered in another one's memory."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "tests.bench", "--answer", question, str(path)]
        subprocess.run(command, cwd=REPOSITORY, check=True)
        rows, curves = json.loads(path.read_text())
    return Answer(
        tuple(Row(**row) for row in rows),
        tuple(Curve(what, tuple(map(tuple, points)), bound) for what, points, bound in curves),
    )


def _answer(question: str, path: Path) -> None:
    found: Answer = import_module(f"tests.bench.{question}").answer()
    rows = [{name: getattr(row, name) for name in Row.__match_args__} for row in found.rows]
    curves = [(curve.what, curve.points, curve.bound) for curve in found.curves]
    path.write_text(json.dumps((rows, curves)))


def _document(rows: list[Row], curves: list[Curve]) -> str:
    versions = ", ".join(
        f"{name} {found}"
        for name in ("trio", "pynacl", "msgpack", "pycrdt", "loro")
        if (found := version_of(name))
    )
    load = ", ".join(f"{part:.1f}" for part in os.getloadavg())
    lines = [f"Machine: {machine()}. Load: {load}. Versions: {versions}.", "", table(rows)]
    if curves:
        lines += ["", "![growth](benchmarks.svg)", "", "| growth | bound | 1× | 10× | 100× |"]
        lines.append("| --- | --- | ---: | ---: | ---: |")
    for curve in curves:
        cells = " | ".join(f"{size:,}: {taken * 1e3:,.3g} ms" for size, taken in curve.points)
        lines.append(f"| {curve.what} | {curve.bound} | {cells} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Ask what is named, or everything."""
    if arguments[:1] == ["--answer"]:
        _answer(arguments[1], Path(arguments[2]))
        return
    write = "--write" in arguments
    rows: list[Row] = []
    curves: list[Curve] = []
    for question in [name for name in arguments if name in QUESTIONS] or QUESTIONS:
        print(f"measuring {question} …", file=sys.stderr, flush=True)
        found = _ask(question)
        rows += found.rows
        curves += found.curves
        print(table(found.rows), flush=True)
    text = _document(rows, curves)
    print(text)
    if write:
        page = REPOSITORY / "docs" / "benchmarks.md"
        before, _, rest = page.read_text().partition(BEGIN)
        page.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")
        (page.parent / "benchmarks.svg").write_text(svg(curves))


if __name__ == "__main__":
    main(sys.argv[1:])
