"""What holds for every command: form of the answer, exit codes, help, and a quick start."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from cli import exit_codes
from cli.app import App
from cli.main import COMMANDS, mesh
from mesh.api.version import VERSION
from mesh.core import errors
from mesh.core.errors import MeshError
from tests.cli.machine import APART, ROOT, Machine

NAMES = [name for section in COMMANDS.values() for name in section]


def command(name: str) -> click.Command:
    found = mesh.get_command(click.Context(mesh, obj=App()), name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_listed_with_its_own_words(name: str) -> None:
    loaded = command(name)
    leaves = loaded.commands.values() if isinstance(loaded, click.Group) else [loaded]
    for leaf in leaves:
        assert leaf.help
        options = {word for parameter in leaf.params for word in parameter.opts}
        assert {"--json", "--home", "--session"} <= options


def test_the_global_options_stand_before_and_after_any_name(founded: Machine) -> None:
    for words in (["--json", "import", "beads"], ["import", "--json", "beads"]):
        run = founded.run(*words, "-", stdin="")
        assert json.loads(run.stdout)["data"]["created"] == 0, run


def test_the_text_of_others_does_not_steer_the_terminal(shared: Machine) -> None:
    made = shared.ok(
        "create", "red \x1b[31m and \x9b2J and a bell \x07", "--set", "note=a\n\x1b]0;b"
    )
    assert made["title"] == "red \x1b[31m and \x9b2J and a bell \x07"
    for words in (["show", made["id"]], ["list"], ["tree"], ["history", made["id"]]):
        text = shared.run(*words).stdout
        assert not {c for c in text if ord(c) < 32 or 127 <= ord(c) < 160} - {"\n"}, text
    assert "red \ufffd[31m" in shared.run("show", made["id"]).stdout


def test_the_exit_codes_are_those_of_the_errors() -> None:
    kinds = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, MeshError)]
    assert {kind.exit_code for kind in kinds} | {0} == set(exit_codes.MEANINGS)


def test_help_names_the_exit_codes(founded: Machine) -> None:
    data = founded.ok("help", "exit-codes")
    assert list(data) == [str(code) for code in range(8)]
    assert "Usage: mesh create" in founded.ok("help", "create")["help"]
    founded.fails(3, "help", "nonsense")


def test_the_version_is_that_of_the_distribution() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (2, ["create"]),
        (2, ["create", "x", "--no-such-option"]),
        (2, ["nonsense"]),
        (2, ["create", "x", "-p", "high"]),
        (2, ["create", "x", "-p", "7"]),
        (2, ["create", "x", "--kind", "nonsense"]),
        (2, ["create", "x", "--set", "nonsense"]),
        (2, ["update", "/", "--set", "priority=high"]),
        (2, ["update", "/"]),
        (2, ["up", "--listen", "nonsense"]),
        (2, ["invite", "--role", "king"]),
        (2, ["invite", "--ttl", "soon"]),
        (2, ["invite", "--uses", "0"]),
        (2, ["create", "x", "--key", ""]),
        (2, ["create", "x", "--file", sys.executable]),
        (2, ["join", "--ticket-file", sys.executable]),
        (2, ["sync", "--wait", "--timeout", "nan"]),
        (2, ["sync", "--wait", "--timeout", "inf"]),
        (2, ["join", "--timeout", "nan"]),
        (3, ["show", "nonsense"]),
        (3, ["create", "x", "--under", "/no/where"]),
        (5, ["move", "/", "--under", "/"]),
        (5, ["archive", "/"]),
    ],
)
def test_a_mistake_has_its_exit_code_and_one_line_with_a_remedy(
    shared: Machine, code: int, words: list[str]
) -> None:
    shared.fails(code, *words)


def test_what_needs_a_running_node_says_so(founded: Machine) -> None:
    for words in (["invite"], ["sync"], ["watch"]):
        assert "mesh up" in founded.fails(5, *words)["hint"]


def test_the_hint_for_a_priority_lists_the_values(shared: Machine) -> None:
    assert "0 critical, 1 high" in shared.fails(2, "create", "x", "-p", "high")["hint"]


def test_a_home_without_a_node_is_not_found(tmp_path: Path) -> None:
    nobody = Machine(tmp_path / "nobody")
    for words in (["status"], ["list"], ["up"], ["down"], ["doctor"], ["create", "x"]):
        error = nobody.fails(3, *words)
        assert error["code"] == "no_home" and "mesh init" in error["hint"]
    assert not nobody.home.exists()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A running node for commands that change nothing."""
    made = Machine(tmp_path_factory.mktemp("shared") / "one")
    made.ok("init", "--name", "acme")
    made.ok("up", *APART)
    made.ok("create", "Something")
    yield made
    made.end()


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["peers"],
        ["list"],
        ["tree"],
        ["search", "x"],
        ["show", "/"],
        ["history", "/"],
        ["invite", "--no-address"],
        ["watch", "--cursor", "0", "--limit", "1"],
        ["sync"],
        ["doctor"],
        ["help"],
    ],
)
def test_json_is_one_document_and_nothing_else(shared: Machine, words: list[str]) -> None:
    before = shared.run("--json", *words)
    after = shared.run(*words, "--json")
    assert before.returncode == after.returncode == 0, (before, after)
    for run in (before, after):
        for line in run.stdout.splitlines():
            document: dict[str, Any] = json.loads(line)
            assert document["schema_version"] == 1 and "data" in document
    assert words[0] == "watch" or len(before.stdout.splitlines()) == 1


def test_unique_prefixes_are_enough_and_others_are_named(shared: Machine) -> None:
    made = [shared.ok("create", "Same name")["id"] for _ in range(2)]
    assert shared.ok("show", made[0][:10])["id"] == made[0]
    error = shared.fails(2, "show", "/Same name")
    assert all(node[:8] in error["message"] for node in made)


def test_lists_are_filtered_and_bounded(shared: Machine) -> None:
    from cli.commands.worknodes import LIST_MAX
    from mesh.api.worknodes import WORKNODES_MAX

    assert LIST_MAX == WORKNODES_MAX
    place = shared.ok("create", "A place", "--kind", "folder")["id"]
    inside = shared.ok("create", "Inside", "--under", place, "--set", "description=Hidden WORD")
    inside.pop("existed")
    assert shared.ok("list", "--kind", "folder")[0]["id"] == place
    assert shared.ok("list", "--under", place) == [inside] == shared.ok("search", "hidden word")
    assert shared.ok("list", "--under", place, "--status", "completed") == []
    assert len(shared.ok("list", "--limit", "1")) == 1
    assert shared.ok("list", "--limit", "0") == []
    every = [item["id"] for item in shared.ok("list")]
    first, second = (item["id"] for item in shared.ok("list", "--limit", "2"))
    rest = [item["id"] for item in shared.ok("list", "--past", second)]
    assert [first, second, *rest] == every
    assert [item["id"] for item in shared.ok("search", "", "--past", first)] == every[1:]
    shared.fails(5, "list", "--under", place, "--past", first)
    shared.fails(2, "list", "--limit", str(LIST_MAX + 1))
    assert [item["depth"] for item in shared.ok("tree", place)] == [0, 1]
    assert [item["depth"] for item in shared.ok("tree", "--depth", "0")] == [0]


def test_a_key_names_the_same_worknode_again(shared: Machine) -> None:
    first = shared.ok("create", "Once", "--key", "k")
    again = shared.ok("create", "Another title", "--key", "k")
    assert (first.pop("existed"), again.pop("existed")) == (False, True)
    assert again == first


def test_text_comes_from_standard_input(shared: Machine) -> None:
    made = shared.ok("create", "Long", "--file", "-", stdin="one\ntwo\n")
    assert made["fields"]["description"] == "one\ntwo\n"


def test_an_import_runs_twice_and_doubles_nothing(shared: Machine) -> None:
    lines = [
        {"id": "a-1", "title": "One", "priority": 1, "updated_at": "2025-01-01T00:00:00Z"},
        {"id": "a-2", "title": "Two", "updated_at": "2025-01-01T00:00:00Z"},
    ]
    text = "\n".join(map(json.dumps, lines)) + "\nnonsense\n"
    first = shared.ok("import", "beads", "-", stdin=text)
    assert (first["created"], first["updated"], first["unchanged"]) == (2, 0, 0)
    assert first["skipped"][0]["line"] == 3 and first["skipped"][0]["reason"]
    again = shared.ok("import", "beads", "-", stdin=text)
    assert (again["created"], again["updated"], again["unchanged"]) == (0, 0, 2)


HEAVY = "{'trio', 'hypercorn', 'starlette', 'zeroconf', 'structlog', 'nacl'}"


def test_a_client_command_loads_no_event_loop_and_no_server(running: Machine) -> None:
    program = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print(sorted({HEAVY} & set(sys.modules)), file=sys.stderr))\n"
        "from cli.main import main\n"
        f"main(['--home', {str(running.home)!r}, *sys.argv[1:]])\n"
    )
    for words in (["--help"], ["status"], ["create", "x"], ["list"], ["down"]):
        run = subprocess.run(
            [sys.executable, "-c", program, *words],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=60,
            check=False,
        )
        assert run.returncode == 0, run
        assert run.stderr.splitlines()[-1] == "[]", words


def test_output_that_nobody_reads_is_no_error(shared: Machine) -> None:
    run = subprocess.run(
        f"{sys.executable} -m cli --home {shared.home} tree | true; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert (run.stdout, run.stderr) == ("0\n", "")


def test_a_closed_standard_output_is_no_traceback(shared: Machine) -> None:
    run = subprocess.run(
        f"{sys.executable} -m cli --home {shared.home} tree >&-",
        shell=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in run.stderr, run


def test_a_field_has_one_name_in_history_before_and_after_its_seal(shared: Machine) -> None:
    node = shared.ok("create", "Local")["id"]
    shared.ok("--session", "smith", "update", node, "--set", "progress=5", "--local")
    (waiting,) = [row for row in shared.ok("history", node) if row["entry"] is None]
    shared.ok("sync")
    (sealed,) = [row for row in shared.ok("history", node) if row["did"] == waiting["did"]][-1:]
    assert sealed["entry"] and sealed["field"] == waiting["field"] == "work:progress"
    assert sealed["session"] == waiting["session"] and len(sealed["session"]) == 32
