"""
The rules of the house, as functions from source text to violations.

`test_architecture.py` runs them over every file.

Nothing here imports the code that it judges: a module that breaks a rule may not even import.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

from attrs import frozen

# Imports go down this table, never up, and never sideways between two rows of one floor.
FLOORS = {
    "crdt": 0,
    "capability": 1,
    "mesh.core": 2,
    "mesh.worknode": 3,
    "mesh.channel": 3,
    "mesh.replica": 4,
    "mesh.gossip": 4,
    "mesh.swarm": 4,
    "mesh.consensus": 4,
    "mesh.triggers": 4,
    "mesh.engine": 5,
    "mesh.wire": 5,
    "mesh.greeting": 5,
    "mesh.acquaint": 5,
    "mesh.status": 5,
    "mesh.transport": 6,
    "mesh.storage": 6,
    "mesh.observe": 6,
    "mesh.node": 7,
    "mesh.api": 8,
    "cli": 9,
}
SIDEWAYS = {
    ("mesh.engine", "mesh.wire"),
    ("mesh.engine", "mesh.greeting"),
    ("mesh.engine", "mesh.acquaint"),
    ("mesh.acquaint", "mesh.greeting"),
    ("mesh.acquaint", "mesh.status"),
    ("mesh.engine", "mesh.status"),
}
FIRST_IMPURE_FLOOR = 6
# `mesh/__init__.py` names what lies behind it, lazily, so it may reach every floor below the
# commands; for the same reason only the commands may import from it.
FACADE = "mesh"
# Not a floor: the simulator hosts the engine as the node does, and only `mesh sim` starts it.
SIMULATIONS = "simulations"
SIMULATIONS_MAY_ALSO_IMPORT = "mesh.storage.memory"
PACKAGES = ("crdt", "capability", "mesh", "cli", "simulations")
PROJECT = (*PACKAGES, "tests")

# What reads a clock, rolls dice, or touches the world; `os` whole: a machine needs none of it.
# fmt: off
IMPURE_MODULES = frozenset({
    "anyio", "asyncio", "concurrent", "multiprocessing", "signal", "subprocess", "threading",
    "trio", "http", "httpx", "requests", "select", "selectors", "socket", "ssl", "urllib.request",
    "zeroconf", "fileinput", "glob", "logging", "os", "pathlib", "shutil", "sqlite3",
    "structlog", "tempfile", "cryptography", "secrets", "time", "uuid",
    "click", "hypercorn", "rich", "starlette",
})
# fmt: on
IMPURE_CALLS = frozenset({"open", "io.open", "input", "print", "breakpoint", "__import__"})
CLOCKS = frozenset(
    {
        "datetime.datetime.now",
        "datetime.datetime.today",
        "datetime.datetime.utcnow",
        "datetime.date.today",
    }
)
NACL_PACKAGES = ("capability", "mesh.channel")
KEY_SOURCES = re.compile(
    r"\b(SigningKey|PrivateKey)\.generate$"
    r"|^nacl\.(.*\.)?(random|randombytes\w*|crypto_(sign|box|kx)_keypair)$"
)

# A client command starts in under 100 ms: it must not load these before it knows what it does.
HEAVY_FOR_CLIENTS = frozenset({"hypercorn", "rich", "starlette", "structlog", "trio", "zeroconf"})
NEVER_IN_SIMULATIONS = frozenset({"trio", "anyio", "asyncio"})

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
LINE_CHARACTERS_MAX = 100

# Bracketed letters keep these patterns from matching the file that they stand in.
PLACES = re.compile(
    r"(?<![\w.])/wor[k]/|(?<!\w)\.librar[y]\b|/bash_job[s]|/opt/(?:wheel[s]|pyp[i])"
)
NEIGHBOUR = re.compile(r"\.\./share[d]\b")
UNFILED = re.compile(r"\b(?:TO[D]O|FIXM[E])\b(?!\s*\(?#\d+)")
DATA_SUFFIXES = frozenset({".json", ".jsonl", ".sql", ".csv", ".txt"})


@frozen(eq=False)
class Module:
    """One source file; *name* is how Python imports it. Each is itself alone: answers are kept."""

    name: str
    is_package: bool
    source: str
    tree: ast.Module

    @classmethod
    def parse(cls, name: str, source: str, *, is_package: bool = False) -> Module:
        return cls(name, is_package, source, ast.parse(source))


@frozen
class Import:
    """`from base import name`, or `import base` where *name* is empty."""

    line: int
    base: str
    name: str
    at_top: bool

    @property
    def target(self) -> str:
        return f"{self.base}.{self.name}" if self.name not in {"", "*"} else self.base


def modules_of(root: Path, packages: Collection[str] = PROJECT) -> dict[str, Module]:
    """All modules of *packages* that stand in *root*, committed or not."""
    found = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            source = path.read_text(encoding="utf-8")
            found[name] = Module.parse(name, source, is_package=is_package)
    return found


def is_under(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def home_of(name: str) -> str | None:
    """The row of the table, the façade, or the package outside the table that holds *name*."""
    homes = [row for row in (*FLOORS, SIMULATIONS, "tests") if is_under(name, row)]
    return homes[0] if homes else FACADE if name == FACADE else None


def _statements(body: list[ast.stmt], *, at_top: bool) -> Iterator[tuple[ast.stmt, bool]]:
    for statement in body:
        yield statement, at_top
        runs = at_top and not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef)
        typing_only = isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test)
        for field in ("body", "orelse", "finalbody"):
            inner_runs = runs and not (typing_only and field == "body")
            yield from _statements(getattr(statement, field, []), at_top=inner_runs)
        for inner in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            yield from _statements(inner.body, at_top=runs)


@cache
def imports_of(module: Module) -> tuple[Import, ...]:
    """Every import, wherever it stands; `at_top` tells those that run when the module loads."""
    return tuple(_imports_of(module))


def _imports_of(module: Module) -> Iterator[Import]:
    for statement, at_top in _statements(module.tree.body, at_top=True):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield Import(statement.lineno, alias.name, "", at_top)
        elif isinstance(statement, ast.ImportFrom):
            base = statement.module or ""
            if statement.level:
                parts = module.name.split(".")
                kept = len(parts) - statement.level + module.is_package
                base = ".".join([*parts[:kept], *([base] if base else [])])
            for alias in statement.names:
                yield Import(statement.lineno, base, alias.name, at_top)


def _may_import(home: str, target: str) -> bool:
    target_home = home_of(target)
    if target_home is None:
        return False
    if target_home == home:
        return True
    if "tests" in {home, target_home}:
        return home == "tests"
    if SIMULATIONS in {home, target_home} or FACADE in {home, target_home}:
        if home == SIMULATIONS:
            below = FLOORS.get(target_home, FIRST_IMPURE_FLOOR) < FIRST_IMPURE_FLOOR
            return below or is_under(target, SIMULATIONS_MAY_ALSO_IMPORT)
        if home == FACADE:
            return target_home in FLOORS and target_home != "cli"
        return home == "cli"
    return FLOORS[target_home] < FLOORS[home] or (home, target_home) in SIDEWAYS


def floor_violations(module: Module) -> list[str]:
    home = home_of(module.name)
    if home is None:
        return [f"{module.name}: stands on no floor; add its package to the table, or move it"]
    found = []
    for item in imports_of(module):
        target = item.target
        if target.split(".")[0] not in PROJECT:
            continue
        if item.base == FACADE and item.name and home_of(target) is None:
            target = FACADE
        if not _may_import(home, target):
            found.append(f"{module.name}:{item.line}: {home} may not import {target}")
    return found


def is_pure(name: str) -> bool:
    return FLOORS.get(home_of(name) or "", FIRST_IMPURE_FLOOR) < FIRST_IMPURE_FLOOR


def _aliases(module: Module) -> dict[str, str]:
    names = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                names[alias.asname or root] = alias.name if alias.asname else root
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _qualified(node: ast.AST, aliases: Mapping[str, str]) -> str:
    """The dotted name behind *node*; a name that no import bound is marked as local."""
    if isinstance(node, ast.Name):
        return aliases.get(node.id, f"local {node.id}")
    if isinstance(node, ast.Attribute):
        return f"{_qualified(node.value, aliases)}.{node.attr}"
    return "?"


def _impure_name(name: str) -> str | None:
    if name in CLOCKS:
        return f"reads a clock: {name}"
    if KEY_SOURCES.search(name):
        return f"creates a key or randomness: {name}"
    if name.startswith("random.") and name.split(".")[1] != "Random":
        return f"global randomness: {name}"
    return None


def _impure_node(node: ast.AST, aliases: Mapping[str, str]) -> str | None:
    match node:
        case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
            return "awaits: a machine never waits"
        case ast.Name() | ast.Attribute():
            return _impure_name(_qualified(node, aliases))
        case ast.Call(func=function):
            name = _qualified(function, aliases).removeprefix("local ")
            if name in IMPURE_CALLS:
                return f"touches the world: {name}()"
            return f"creates randomness: {name}()" if name == "random.Random" else None
        case ast.keyword(arg="factory" | "default_factory", value=value):
            name = _qualified(value, aliases)
            return f"creates randomness: factory={name}" if name == "random.Random" else None
    return None


def purity_violations(module: Module) -> list[str]:
    found = set()
    for item in imports_of(module):
        if any(is_under(item.target, banned) for banned in IMPURE_MODULES):
            found.add((item.line, f"imports {item.target}"))
        elif (reason := _impure_name(item.target)) is not None:
            found.add((item.line, reason))
        if is_under(item.base, "nacl") and home_of(module.name) not in NACL_PACKAGES:
            found.add((item.line, f"imports {item.target}: only {' and '.join(NACL_PACKAGES)} may"))
    aliases = _aliases(module)
    for node in ast.walk(module.tree):
        if (reason := _impure_node(node, aliases)) is not None:
            found.add((getattr(node, "lineno", 0), reason))
    return [f"{module.name}:{line}: {reason}" for line, reason in sorted(found)]


def _is_lone_url(line: str) -> bool:
    words = line.strip().lstrip("# ").split()
    return len(words) == 1 and "://" in words[0]


def size_violations(module: Module) -> list[str]:
    found = []
    lines = module.source.splitlines()
    if len(lines) > FILE_LINES_MAX:
        found.append(f"{module.name}: {len(lines)} lines, at most {FILE_LINES_MAX}")
    for number, line in enumerate(lines, start=1):
        if len(line) > LINE_CHARACTERS_MAX and not _is_lone_url(line):
            found.append(f"{module.name}:{number}: {len(line)} characters in the line")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                found.append(f"{module.name}:{node.lineno}: {node.name} has {length} lines")
    return found


@cache
def _binds(module: Module, name: str) -> bool:
    for statement, at_top in _statements(module.tree.body, at_top=True):
        if not at_top:
            continue
        if getattr(statement, "name", None) == name:
            return True
        if isinstance(statement, ast.Import | ast.ImportFrom):
            bound = [alias.asname or alias.name.split(".")[0] for alias in statement.names]
            if name in bound:
                return True
        elif any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(statement)):
            return True
    return False


def _loads(item: Import, modules: Mapping[str, Module]) -> Iterator[tuple[str, bool]]:
    """What one import loads: (module, whether it belongs to the project)."""
    if item.base.split(".")[0] not in PROJECT:
        yield item.base.split(".")[0], False
        return
    parts = item.target.split(".")
    for end in range(1, len(parts) + 1):
        if (name := ".".join(parts[:end])) in modules:
            yield name, True
    package = modules.get(item.base)
    is_name = item.name not in {"", "*"} and item.target not in modules
    if package and is_name and _binds(package, "__getattr__") and not _binds(package, item.name):
        # Asking a lazy package for a name at import time undoes its laziness.
        yield f"{item.target} (lazy)", False


def heavy_at_import(start: str, modules: Mapping[str, Module], heavy: Collection[str]) -> list[str]:
    """The ways in which importing *start* loads something of *heavy*, or forces a lazy name."""
    found = []
    chains: dict[str, tuple[str, ...]] = {start: (start,)}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        for item in imports_of(modules[name]):
            for loaded, is_ours in _loads(item, modules) if item.at_top else ():
                if is_ours and loaded not in chains:
                    chains[loaded] = (*chains[name], loaded)
                    waiting.append(loaded)
                elif not is_ours and (loaded in heavy or loaded.endswith("(lazy)")):
                    found.append(" → ".join((*chains[name], loaded)))
    return sorted(found)


def word_violations(path: str, text: str) -> list[str]:
    """What a file must not say: where it was written, or that something is left to do."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if match := PLACES.search(line):
            found.append(f"{path}:{number}: names a place outside the project: {match[0]}")
        if NEIGHBOUR.search(line) and not path.startswith("tests/"):
            found.append(f"{path}:{number}: only a test that skips may look beside the project")
        if UNFILED.search(line) and Path(path).suffix not in DATA_SUFFIXES:
            found.append(f"{path}:{number}: something left to do needs the number of an issue")
    return found
