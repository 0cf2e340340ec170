"""docs/limits.md names every public bound with the value that it has."""

import ast
import importlib
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "limits.md"
PACKAGES = ("crdt", "capability", "mesh", "cli")
#: A constant with one of these words in its name is a bound.
WORDS = frozenset({"MAX", "MIN", "MS", "S", "BYTES", "KIB"})
ROW = re.compile(r"\| `(?P<name>[a-z_.]+\.[A-Z0-9_]+)` \| (?P<value>[^|]*) \|(?P<rest>.*)\|")


def bounds() -> dict[str, float]:
    """Every public bound and its value; where it is defined, not where it is imported."""
    found: dict[str, float] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            module = module.removesuffix(".__init__")
            for name in _assigned(ast.parse(path.read_text())):
                value = getattr(importlib.import_module(module), name)
                if isinstance(value, int | float):
                    found[f"{module}.{name}"] = value
    return found


def _assigned(tree: ast.Module) -> list[str]:
    targets = [
        target
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return [name for name in names if name[0].isupper() and WORDS & set(name.split("_"))]


def shown(name: str, value: float) -> str:
    """How the page writes a value."""
    words = set(name.rpartition(".")[2].split("_"))
    if "KIB" in words:
        value, words = value * 1024, {"BYTES"}
    if "BYTES" in words and "DIGITS" not in words:
        for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
            if value >= size and value % size == 0:
                return f"{value // size:g} {unit}"
        return f"{value:,} bytes"
    if "MS" in words:
        is_whole = value % 1000 == 0 and value < 1_000_000
        return f"{value // 1000:,} s" if is_whole else f"{value:,} ms"
    if "S" in words:
        return f"{value:,g} s"
    return f"{value:,}"


def rows() -> dict[str, str]:
    found = [ROW.fullmatch(line) for line in PAGE.read_text().splitlines()]
    matches = [match for match in found if match is not None]
    names = [match["name"] for match in matches]
    assert len(names) == len(set(names)), "a bound stands twice on the page"
    return {match["name"]: match["value"] for match in matches}


def test_every_public_bound_is_on_the_page_with_its_value() -> None:
    on_page = rows()
    wrong = [
        f"| `{name}` | {shown(name, value)} | why | at the limit |"
        for name, value in bounds().items()
        if on_page.get(name) != shown(name, value)
    ]
    assert not wrong, "docs/limits.md needs these rows:\n" + "\n".join(wrong)


def test_nothing_is_on_the_page_that_is_no_bound() -> None:
    assert sorted(rows().keys() - bounds().keys()) == []


def test_every_row_says_why_and_what_happens() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    short = [line for line in lines if len([c for c in line.split(" | ") if c.strip("| ")]) != 4]
    assert short == []


def test_values_are_written_as_people_read_them() -> None:
    assert shown("a.FRAME_BYTES_MAX", 65_536) == "64 KiB"
    assert shown("a.FRAME_BYTES_MAX", 65_535) == "65,535 bytes"
    assert shown("a.CACHE_KIB", 8_192) == "8 MiB"
    assert shown("a.REDIAL_MS_MIN", 500) == "500 ms"
    assert shown("a.REDIAL_MS_MAX", 5_000) == "5 s"
    assert shown("a.RETRY_S", 0.5) == "0.5 s"
    assert shown("a.OPS_MAX", 4_096) == "4,096"
