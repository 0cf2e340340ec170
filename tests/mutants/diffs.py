"""
What each mutant changes, read from the code that mutmut has generated.

`mutmut show` says the same, but takes a second for each: minutes, where hundreds are looked at.
"""

from __future__ import annotations

import ast
import json
from difflib import unified_diff
from pathlib import Path

__all__ = ["diffs_of", "metas"]

_ORIGINAL = "__mutmut_orig"


def metas(folder: Path) -> list[Path]:
    """The verdicts of mutmut, one file beside each module that it has mutated."""
    return sorted(folder.rglob("*.meta"))


def diffs_of(folder: Path) -> dict[str, str]:
    """Mutant → the lines taken and the lines given, without their surroundings."""
    found: dict[str, str] = {}
    for path in metas(folder):
        keys = json.loads(path.read_text())["exit_code_by_key"]
        source = path.with_suffix("").read_text() if keys else ""
        lines = source.splitlines()
        functions = {
            node.name: lines[node.lineno - 1 : node.end_lineno]
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        for key in keys:
            name = key.rpartition(".")[2]
            original = name.rpartition("__mutmut_")[0] + _ORIGINAL
            before, after = (_plain(functions[one], one) for one in (original, name))
            found[key] = "\n".join(
                line
                for line in unified_diff(before, after, lineterm="", n=0)
                if line[:1] in {"-", "+"} and line[:3] not in {"---", "+++"}
            )
    return found


def _plain(lines: list[str], name: str) -> list[str]:
    """A generated function under its own name: `observe` of `xǁClockǁobserve__mutmut_1`."""
    plain = name.rpartition("__mutmut_")[0]
    plain = plain.rpartition("ǁ")[2] if "ǁ" in plain else plain.removeprefix("x_")
    return [lines[0].replace(name, plain), *lines[1:]]
