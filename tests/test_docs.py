"""What the pages say of files and commands is there, and what is there is on the pages."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.main import mesh
from mesh.core import errors

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"]
PAGES += sorted(DOCS.glob("*.md"))
LINK = re.compile(r"\[[^\]]*\]\((?!https?://|mailto:)([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"``.+?``|`[^`]+`", re.DOTALL)


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs name them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text).strip().lower().replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_resolves(page: Path) -> None:
    broken = []
    for target in LINK.findall(CODE.sub("", prose(page))):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        is_page = file.suffix == ".md" and file.exists()
        if not file.exists() or (anchor and is_page and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def commands(group: click.Group, before: str = "") -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from commands(found, f"{before}{name} ")
        else:
            yield f"{before}{name}"


def groups(group: click.Group) -> set[str]:
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name for name, command in found.items() if isinstance(command, click.Group)}


def named(text: str) -> set[str]:
    """Commands that stand as `mesh NAME …` in the text."""
    spans = [span.strip("` \n") for span in CODE.findall(text)]
    words = [
        " ".join(span.split()).removeprefix("mesh ").split() for span in spans if _is_call(span)
    ]
    known = groups(mesh)
    return {" ".join(word[: 2 if word[0] in known and len(word) > 1 else 1]) for word in words}


def _is_call(span: str) -> bool:
    return re.match(r"mesh\s+[a-z]", span) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    real = set(commands(mesh)) | groups(mesh)
    assert sorted(named(prose(page)) - real) == []


def test_every_command_is_on_the_page_of_commands() -> None:
    # `help` itself is named in the text as `mesh help exit-codes`.
    assert sorted(set(commands(mesh)) - named(prose(DOCS / "cli.md"))) == []


def test_every_option_that_the_page_of_commands_gives_a_command_exists() -> None:
    context = click.Context(mesh)
    wrong = []
    for span in CODE.findall(prose(DOCS / "cli.md")):
        words = span.strip("` ").split()
        if not _is_call(span.strip("` ")):
            continue
        command = mesh.get_command(context, words[1])
        if isinstance(command, click.Group) and len(words) > 2:
            command = command.get_command(context, words[2])
        assert command is not None
        known = {option for param in command.params for option in param.opts}
        given = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", span))
        wrong += [f"{command.name} {option}" for option in sorted(given - known)]
    assert wrong == []


def test_every_page_is_in_the_navigation_and_on_the_front_page() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    front = (DOCS / "index.md").read_text()
    pages = [page.name for page in DOCS.glob("*.md") if page.name != "index.md"]
    assert [name for name in pages if f"- {name}" not in navigation] == []
    assert [name for name in pages if f"]({name})" not in front] == []


def test_what_the_api_page_names_is_there() -> None:
    targets = re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert targets
    for target in targets:
        package, _, attribute = target.rpartition(".")
        path = ROOT.joinpath(*target.split("."))
        if not path.with_suffix(".py").exists() and not (path / "__init__.py").exists():
            source = ROOT.joinpath(*package.split(".")).with_suffix(".py").read_text()
            nodes = ast.parse(source).body
            assert attribute in {getattr(node, "name", None) for node in nodes}, target


@pytest.mark.skipif(
    importlib.util.find_spec("material") is None or importlib.util.find_spec("mkdocs") is None,
    reason="what builds the site is not installed: pip install -e '.[docs]', or `make docs`",
)
def test_the_site_builds_strictly(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path)],
        check=False,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "api" / "index.html").read_text()
    assert "The node is too busy. Nothing happened." in " ".join(reference.split())
    elsewhere = re.findall(r'<(?:script|link)[^>]+(?:src|href)="https?://[^"]*', reference)
    assert elsewhere == []


EVENT = re.compile(
    r"""\b(?:Log\(\s*(?:"(?P<level>\w+)"|level),\s*|_(?:note|warn|line)\((?:session,\s*)?)"""
    r"""\s*"(?P<event>[^"]+)\""""
)


def test_every_event_of_the_log_is_on_the_page_of_operations_with_its_level() -> None:
    page = (DOCS / "operations.md").read_text()
    rows = re.findall(r"^\| (`[^|]+`) \| (info|warning|error) \|", page, re.MULTILINE)
    on_page = {event: level for events, level in rows for event in re.findall(r"`([^`]+)`", events)}
    found: dict[str, str | None] = {}
    for package in ("capability", "mesh", "cli"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for match in EVENT.finditer(path.read_text()):
                found[match["event"]] = match["level"] or found.get(match["event"])
    events = {event for event in found if re.fullmatch(r"[a-z]+\.[a-z_]+", event)}
    assert len(events) > 20
    assert sorted(events ^ set(on_page)) == []
    assert {e: found[e] for e in events if found[e]} == {e: on_page[e] for e in events if found[e]}


def test_examples_in_python_are_python() -> None:
    for page in PAGES:
        for block in re.findall(
            r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
        ):
            ast.parse(block)


#: Messages that docs/failure-modes.md quotes, and where they come from. `…` and numbers differ.
MESSAGES = {
    "cannot commit": None,
    "a crash before the next commit may still bring it back": "mesh/storage/sqlite.py",
    "cannot open the database": None,
    "is not the one that was written": "mesh/storage/sqlite.py",
    "open the lock": "mesh/storage/home.py",
    "others may reach into it": "mesh/storage/home.py",
    "others may read or replace the key": "mesh/storage/keyfile.py",
    "is damaged or cut short": "mesh/storage/keyfile.py",
    "has an identity, but no mesh": "mesh/node/parts.py",
    "written by a newer version": "mesh/storage/schema.py",
    "the file system has no shared memory for a write-ahead log": "mesh/storage/schema.py",
    "this home is older than what its peers hold of it": "mesh/replica/replica.py",
    "this node's own log has forked, so nothing more of it counts": "mesh/replica/writer.py",
    "another program listens there already": "mesh/transport/tcp.py",
    "the peer is of another mesh or no node at all": None,
    "no answer within": "mesh/node/requests.py",
    "the node is too busy: it took nothing within": "mesh/node/requests.py",
    "requests wait already": "mesh/node/requests.py",
    "calls are under way already": "mesh/api/http.py",
    "the node went away before it answered": "cli/client.py",
    "no peer is connected after": "cli/commands/mesh.py",
    "no member could be reached within": "cli/commands/joining.py",
    "a member refuses this node": "cli/commands/joining.py",
    "this ticket has been used by another node": "mesh/greeting.py",
    "the ticket expired": "mesh/node/setup.py",
    "has begun to join this mesh with another ticket": "mesh/node/setup.py",
    "this would not count anywhere": "mesh/replica/standing.py",
    "the ticket is cut short or has a letter too many": "capability/ticket.py",
    "events are missing here; read the state anew": "cli/render.py",
}


@pytest.mark.parametrize("message", MESSAGES)
def test_the_messages_of_bad_days_are_the_ones_that_are_printed(message: str) -> None:
    page = " ".join((DOCS / "failure-modes.md").read_text().split())
    assert message in page
    source = MESSAGES[message]
    if source is not None:
        # A message may run over several strings of one call.
        code = re.sub(r'"\s*\n\s*f?"', "", (ROOT / source).read_text())
        assert message in code


def test_the_page_of_commands_has_the_exit_codes_of_the_errors() -> None:
    table = re.findall(r"^\| (\d) \| ", (DOCS / "cli.md").read_text(), re.MULTILINE)
    classes = [errors.MeshError]
    for found in classes:
        classes += found.__subclasses__()
    assert {str(found.exit_code) for found in classes} <= set(table)
