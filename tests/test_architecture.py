"""The rules a machine can check, run over every file; and proof that each of them can fail."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests import architecture as rules
from tests.architecture import Module

ROOT = Path(__file__).resolve().parent.parent
MODULES = rules.modules_of(ROOT)
SHIPPED = {name: m for name, m in MODULES.items() if name.split(".")[0] in rules.PACKAGES}


def files_of_the_project() -> list[Path]:
    """Committed and new files, without what is ignored."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    if listing.returncode != 0:
        pytest.skip("no git checkout here, so the files of the project cannot be told apart")
    # A file may be deleted on disk and still be listed.
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


# The rules, over the whole tree.


def test_the_walk_sees_every_package() -> None:
    assert set(rules.PACKAGES) - {"crdt"} <= set(MODULES)
    assert "tests.test_architecture" in MODULES


def test_imports_only_go_down() -> None:
    assert [v for module in SHIPPED.values() for v in rules.floor_violations(module)] == []


def test_nothing_below_the_drivers_touches_the_world() -> None:
    pure = [module for name, module in SHIPPED.items() if rules.is_pure(name)]
    assert [v for module in pure for v in rules.purity_violations(module)] == []


def test_files_functions_and_lines_stay_small() -> None:
    assert [v for module in MODULES.values() for v in rules.size_violations(module)] == []


def test_importing_mesh_is_cheap() -> None:
    assert rules.heavy_at_import("mesh", MODULES, rules.HEAVY_FOR_CLIENTS) == []


def test_client_commands_start_without_trio_and_the_server() -> None:
    if "cli.main" not in MODULES:
        pytest.skip("there is no cli/main.py")
    assert rules.heavy_at_import("cli.main", MODULES, rules.HEAVY_FOR_CLIENTS) == []


def test_simulations_never_load_an_event_loop() -> None:
    simulations = [m for name, m in SHIPPED.items() if rules.is_under(name, rules.SIMULATIONS)]
    banned = rules.NEVER_IN_SIMULATIONS
    loaded = [v for m in simulations for v in rules.heavy_at_import(m.name, MODULES, banned)]
    written = [
        f"{m.name}:{item.line}: imports {item.target}"
        for m in simulations
        for item in rules.imports_of(m)
        if item.target.split(".")[0] in banned
    ]
    assert loaded + written == []


def test_the_project_speaks_of_itself_alone() -> None:
    found = []
    for path in files_of_the_project():
        content = path.read_bytes()
        if b"\0" not in content:
            name = path.relative_to(ROOT).as_posix()
            found += rules.word_violations(name, content.decode("utf-8", errors="replace"))
    assert found == []


# Each rule can fail.


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("crdt.sets", "import capability"),
        ("capability.chain", "from mesh.core import limits"),
        ("mesh.core.events", "def f():\n    from mesh import engine"),
        ("mesh.gossip.broadcast", "from mesh.replica import log"),
        ("mesh.gossip.broadcast", "from ..replica import log"),
        ("mesh.gossip.broadcast", "from .. import replica"),
        ("mesh.wire", "import mesh.engine"),
        ("mesh.storage.sqlite", "from mesh.transport import tcp"),
        ("mesh.node.node", "import mesh.api.http"),
        ("mesh.node.node", "from mesh import open_node"),
        ("mesh.node.node", "if TYPE_CHECKING:\n    import cli"),
        ("mesh", "from cli import main"),
        ("mesh.api.http", "import simulations"),
        ("mesh.api.http", "from tests import conftest"),
        ("simulations.host", "from mesh.storage import sqlite"),
        ("simulations.host", "from mesh.node import driver"),
        ("simulations.host", "import cli"),
        ("mesh.elsewhere", ""),
        ("mesh.node.node", "import mesh.elsewhere"),
    ],
)
def test_imports_up_and_sideways_are_found(name: str, source: str) -> None:
    assert len(rules.floor_violations(Module.parse(name, source))) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("capability.chain", "import crdt, hashlib\nfrom capability import errors"),
        ("mesh.engine", "from mesh import wire\nfrom mesh.gossip.broadcast import Broadcast"),
        ("mesh.gossip.broadcast", "from . import membership\nfrom ..core.effects import Send"),
        ("mesh", "def __getattr__(name):\n    from mesh.api import sdk"),
        ("cli.main", "from mesh import open_node\nfrom simulations import scenarios"),
        ("simulations.host", "from mesh.storage.memory import MemoryStore\nimport mesh.engine"),
    ],
)
def test_imports_down_are_free(name: str, source: str) -> None:
    assert rules.floor_violations(Module.parse(name, source)) == []


@pytest.mark.parametrize(
    "source",
    [
        "import trio",
        "from socket import socket",
        "def f():\n    import time",
        "from os import urandom",
        "import urllib.request",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime as d\nd.utcnow()",
        "import random\nrandom.random()",
        "from random import shuffle",
        "import random as r\nr.Random(1)",
        "from random import Random\nx = Random()",
        "from random import Random\nx = field(factory=Random)",
        "open('x')",
        "from nacl.signing import SigningKey as K\nK.generate()",
        "import keys\nkeys.SigningKey.generate()",
        "import nacl.utils\nnacl.utils.random(32)",
        "from nacl.bindings import crypto_sign_keypair",
        "async def handle(): pass",
    ],
)
def test_impurity_is_found(source: str) -> None:
    assert rules.purity_violations(Module.parse("capability.keys", source))


def test_purity_allows_what_is_handed_in() -> None:
    source = (
        "from random import Random\nfrom datetime import datetime\nimport nacl.bindings\n"
        "def f(random: Random, open, at: datetime) -> int:\n"
        "    nacl.bindings.crypto_sign_seed_keypair(bytes(32))\n"
        "    return random.randrange(3)\n"
    )
    assert rules.purity_violations(Module.parse("capability.keys", source)) == []


def test_nacl_stays_in_two_packages() -> None:
    source = "import nacl.signing"
    assert rules.purity_violations(Module.parse("mesh.channel.noise", source)) == []
    assert rules.purity_violations(Module.parse("mesh.replica.log", source))


def test_sizes_are_measured() -> None:
    within = "def f():\n" + "    g()\n" * 59 + "# " + "x" * 98 + "\n" * 340
    url = "# https://example.org/" + "x" * 100
    assert rules.size_violations(Module.parse("crdt.sets", within)) == []
    assert rules.size_violations(Module.parse("crdt.sets", url)) == []
    for beyond in ("def f():\n" + "    g()\n" * 60, "# " + "x" * 99, "\n" * 401):
        assert len(rules.size_violations(Module.parse("crdt.sets", beyond))) == 1


def test_heavy_imports_are_found_through_other_modules() -> None:
    sources = {
        "cli": "",
        "cli.main": "from cli import late, table",
        "cli.late": "def f():\n    import trio\nif TYPE_CHECKING:\n    import trio",
        "cli.table": "try:\n    from mesh.node import driver\nexcept ImportError:\n    pass",
        "mesh": "def __getattr__(name): ...",
        "mesh.node": "import trio.abc",
        "mesh.node.driver": "",
    }
    packages = {"cli", "mesh", "mesh.node"}
    modules = {n: Module.parse(n, s, is_package=n in packages) for n, s in sources.items()}
    assert rules.heavy_at_import("cli.late", modules, {"trio"}) == []
    assert rules.heavy_at_import("cli.main", modules, {"trio"}) == [
        "cli.main → cli.table → mesh.node → trio"
    ]


def test_a_lazy_name_is_not_forced_at_import() -> None:
    sources = {"cli.main": "from mesh import open_node", "mesh": "def __getattr__(name): ..."}
    modules = {n: Module.parse(n, s, is_package=n == "mesh") for n, s in sources.items()}
    assert rules.heavy_at_import("cli.main", modules, ()) == ["cli.main → mesh.open_node (lazy)"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("docs/a.md", "see /wo" + "rk/main/x"),
        ("docs/a.md", "the .lib" + "rary folder"),
        ("mesh/a.py", "open('../sha" + "red/vectors')"),
        ("mesh/a.py", "# TO" + "DO: later"),
        ("Makefile", "# FIX" + "ME"),
    ],
)
def test_words_are_found(path: str, text: str) -> None:
    assert len(rules.word_violations(path, text)) == 1


def test_words_leave_the_innocent_alone() -> None:
    assert rules.word_violations("docs/a.md", "/acme/wo" + "rk/x and a.lib" + "rary") == []
    assert rules.word_violations("mesh/a.py", "# TO" + "DO(#12): later") == []
    assert rules.word_violations("tests/vectors/a.json", '{"title": "TO' + 'DO"}') == []
    assert rules.word_violations("tests/a.py", "skips without ../sha" + "red") == []
