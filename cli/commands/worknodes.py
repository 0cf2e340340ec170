"""Commands on Worknodes."""

from __future__ import annotations

from typing import Any

import click

from cli import interrupts, render
from cli.app import App, command
from cli.findings import one_line
from cli.given import read_text
from mesh.core.errors import Unavailable, Unknown, UsageError

_TEXT_CHARACTERS_MAX = 64 * 1024
#: What the node lists at most; asked for more, it refuses.
LIST_MAX = 20_000


def _pairs(given: tuple[str, ...]) -> list[list[str]]:
    """FIELD=VALUE, each in its two parts."""
    found = []
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise UsageError(f"{text!r:.80} is not FIELD=VALUE", hint="for example priority=1")
        found.append([name.strip(), value])
    return found


def _with_text(pairs: list[list[str]], file: Any) -> list[list[str]]:
    """Add the description that was given as a file."""
    if file is None:
        return pairs
    return [*pairs, ["description", read_text(file, characters_max=_TEXT_CHARACTERS_MAX)]]


_SET = click.option("--set", "set_", multiple=True, metavar="FIELD=VALUE", help="Repeatable.")
_FILE = click.option(
    "--file", type=click.File("r"), metavar="PATH", help="The description, from a file or -."
)

_LIMIT = click.option("--limit", type=click.IntRange(min=0), help="At most so many.")
_PAST = click.option("--past", metavar="NODE", help="Only what comes behind this one.")


@command("create")
@click.argument("title")
@click.option("--kind", default=None, help="Default: task.")
@click.option("--under", metavar="NODE", help="Its parent. Default: the root.")
@click.option("-p", "--priority", metavar="0-4", help="0 is the highest.")
@_SET
@click.option("--after", multiple=True, metavar="NODE", help="Depends on this one; repeatable.")
@click.option("--key", help="The same parent and key name the same Worknode, on every node.")
@_FILE
def create(
    app: App,
    *,
    title: str,
    kind: str | None,
    under: str | None,
    priority: str | None,
    set_: tuple[str, ...],
    after: tuple[str, ...],
    key: str | None,
    file: Any,
) -> None:
    """Make a Worknode called TITLE."""
    arguments = {
        "title": title,
        "kind": kind,
        "under": under,
        "priority": priority,
        "set": _with_text(_pairs(set_), file),
        "after": list(after),
        "key": key,
    }
    data = app.call("create", arguments, is_write=True)
    app.done(data, render.done("exists already:" if data["existed"] else "created", data))


@command("show")
@click.argument("node")
def show(app: App, node: str) -> None:
    """One Worknode with all its fields. NODE is an id, a prefix of one, or a path of names."""
    data = app.call("show", {"node": node})
    app.done(data, render.worknode(data))


@command("list")
@click.option("--under", metavar="NODE", help="Only below this one.")
@click.option("--kind", help="Only of this kind.")
@click.option("--status", help="Only with this status.")
@click.option("--archived", is_flag=True, help="What was archived, instead.")
@_PAST
@_LIMIT
def list_(
    app: App,
    *,
    under: str | None,
    kind: str | None,
    status: str | None,
    archived: bool,
    past: str | None,
    limit: int | None,
) -> None:
    """Worknodes, filtered, in the order of the tree."""
    arguments = {
        "under": under,
        "kind": kind,
        "status": status,
        "archived": archived,
        "past": past,
        "limit": limit,
    }
    _list(app, arguments)


def _list(app: App, arguments: dict[str, Any]) -> None:
    data = app.call("list", arguments)
    app.done(data, render.worknodes(data))
    if arguments["limit"] is None and len(data) >= LIST_MAX:
        app.note(f"{LIST_MAX} are shown, there may be more: --past {render.short(data[-1])}")


@command("search")
@click.argument("text")
@click.option("--under", metavar="NODE", help="Only below this one.")
@_PAST
@_LIMIT
def search(app: App, text: str, under: str | None, past: str | None, limit: int | None) -> None:
    """Worknodes with TEXT in the title or description, whatever the case of letters."""
    _list(app, {"text": text, "under": under, "past": past, "limit": limit})


@command("tree")
@click.argument("node", required=False)
@click.option("--depth", type=click.IntRange(min=0), help="At most so many levels.")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many Worknodes.")
def tree(app: App, node: str | None, depth: int | None, limit: int | None) -> None:
    """NODE (or the root) and what stands below it."""
    data = app.call("tree", {"node": node, "depth": depth, "limit": limit})
    app.done(data, render.tree(data))


@command("update")
@click.argument("node")
@_SET
@click.option("--add", multiple=True, metavar="SET=VALUE", help="A member, or a counter's amount.")
@click.option("--remove", multiple=True, metavar="SET=VALUE", help="A member; repeatable.")
@click.option("--local", is_flag=True, help="Coalesce with later ones before it spreads.")
@_FILE
def update(
    app: App,
    *,
    node: str,
    set_: tuple[str, ...],
    add: tuple[str, ...],
    remove: tuple[str, ...],
    local: bool,
    file: Any,
) -> None:
    """Change fields of NODE. An empty VALUE unsets a field."""
    arguments = {
        "node": node,
        "set": _with_text(_pairs(set_), file),
        "add": _pairs(add),
        "remove": _pairs(remove),
        "local": local,
    }
    data = app.call("update", arguments, is_write=True)
    app.done(data, render.done("updated", data))


@command("move")
@click.argument("node")
@click.option("--under", required=True, metavar="NODE", help="Its new parent.")
def move(app: App, node: str, under: str) -> None:
    """Put NODE, with all below it, under another."""
    data = app.call("move", {"node": node, "under": under}, is_write=True)
    app.done(data, f"{render.done('moved', data)}  now {one_line(data['path'])}")


@command("archive")
@click.argument("node")
def archive(app: App, node: str) -> None:
    """Take NODE, with all below it, out of the tree. `mesh move` brings it back."""
    data = app.call("archive", {"node": node}, is_write=True)
    app.done(data, render.done("archived", data))


@command("history")
@click.argument("node")
@click.option("--limit", type=click.IntRange(min=1), help="The last so many entries.")
def history(app: App, node: str, limit: int | None) -> None:
    """Everything that was written to NODE: also what another write has overtaken."""
    data = app.call("history", {"node": node, "limit": limit})
    app.done(data, render.history(data))


@command("watch")
@click.argument("node", required=False)
@click.option("--cursor", type=click.IntRange(min=0), help="Go on after this event.")
@click.option(
    "--type", "types", multiple=True, help="Only of this type: node.moved, …; repeatable."
)
@click.option("--limit", type=click.IntRange(min=1), help="End after so many.")
def watch(
    app: App,
    *,
    node: str | None,
    cursor: int | None,
    types: tuple[str, ...],
    limit: int | None,
) -> None:
    """What happens at NODE and below, or everywhere, until interrupted."""
    arguments = {"node": node, "cursor": cursor, "types": list(types), "limit": limit}
    with interrupts.ending(0):
        try:
            app.call(
                "watch",
                arguments,
                timeout_s=_FOREVER_S,
                told=lambda event: app.line(event, render.event(event)),
            )
        except Unknown:
            # Nothing is asked for that may or may not have happened.
            raise Unavailable(
                "the node has stopped", hint="mesh up, then go on from the last cursor: --cursor C"
            ) from None


#: Nothing may happen for days.
_FOREVER_S = 366 * 86_400.0
