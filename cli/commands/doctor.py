"""`mesh doctor`: what is wrong with this node, each with its remedy."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from cli import findings, interrupts
from cli.app import App, command
from cli.findings import Finding, one_line
from cli.given import read_text
from mesh.api.version import VERSION
from mesh.core.errors import MeshError, UsageError
from mesh.storage.errors import HomeInUse
from mesh.storage.home import Home
from mesh.storage.wal import lost_commits

_REPAIR: Final = (
    "mesh down, then mesh doctor --repair: it keeps the old files, and what had spread comes back"
)
_STDIN: Final = "-"
#: What is read of a file or of standard input; a ticket is shorter.
_TICKET_CHARACTERS_MAX: Final = 64 * 1024
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@command("doctor")
@click.option(
    "--repair",
    is_flag=True,
    help="Mend a damaged, restored or copied home; the old files are kept beside the new ones.",
)
@click.option(
    "--accept-absent",
    is_flag=True,
    help="With --repair: write again on the word of one member, for good if others never return.",
)
@click.option(
    "--ticket",
    metavar="TICKET",
    help="With --repair: give the home a new key, which this ticket of a member admits; what the "
    "old key wrote and does not count is written again. - reads it from standard input.",
)
@click.option("--ticket-file", type=click.File("r"), help="Read that ticket from this file.")
@click.pass_context
def doctor(
    context: click.Context,
    app: App,
    *,
    repair: bool,
    accept_absent: bool,
    ticket: str | None,
    ticket_file: Any,
) -> None:
    """Look for what is wrong, and say the remedy. Exit 1 if there is something."""
    home = app.home.open(app.home.path)
    named = {"--accept-absent": accept_absent, "--ticket": ticket, "--ticket-file": ticket_file}
    for option in (name for name, given in named.items() if given and not repair):
        raise UsageError(f"{option} is about a repair", hint="use it with `mesh doctor --repair`")
    if ticket == _STDIN or ticket_file is not None:
        source = sys.stdin if ticket_file is None else ticket_file
        ticket = read_text(source, characters_max=_TICKET_CHARACTERS_MAX)
    if ticket is not None:
        _rekey(app, home, ticket, accept_absent=accept_absent)
        return
    if repair:
        _repair(app, home, accept_absent=accept_absent)
        return
    findings = [*_home(home), *_database(home), *_node(app, home)]
    data = [
        {"check": name, "ok": ok, "found": found, "remedy": remedy if not ok else None}
        for name, ok, found, remedy in findings
    ]
    lines = []
    for name, ok, found, remedy in findings:
        lines.append(f"{'ok ' if ok else 'BAD'}  {name:<9} {one_line(found)}")
        if not ok:
            lines.append(f"     {'':<9} → {remedy}")
    code = int(not all(ok for _, ok, _, _ in findings))
    app.done(data, "\n".join(lines), code=code)
    context.exit(code)


def _repair(app: App, home: Home, *, accept_absent: bool) -> None:
    from mesh.node.repair import repair_home  # noqa: PLC0415 - the node, only when needed

    with interrupts.raising():
        done = repair_home(home, accept_absent=accept_absent)
    data = {
        "reason": done.reason,
        "aside": str(done.aside) if done.aside is not None else None,
        "entries": done.entries,
        "kept": done.kept,
        "unreadable": done.unreadable,
        "waits": done.waits,
    }
    if not done.reason:
        app.done(data, "nothing to repair")
        return
    lines = [f"was wrong  {done.reason}"]
    if done.aside is not None:
        lines.append(f"old files  {done.aside} (delete them when all is back)")
        lines.append(f"readable   {done.entries} entries; {done.unreadable} places were not")
    if done.kept:
        lines.append(f"set aside  {done.kept} own entries that peers may lack; they come back last")
    lines.append(
        "next       stop every other copy of this home, then `mesh up`: what peers hold comes "
        "back, and writing goes on when all members have said what they hold of this log"
        if done.waits
        else "next       `mesh up`"
    )
    app.done(data, "\n".join(lines))


def _rekey(app: App, home: Home, ticket: str, *, accept_absent: bool) -> None:
    from mesh.node.clock import wall_ms  # noqa: PLC0415 - the node, only when needed
    from mesh.node.rekey import rekey_home  # noqa: PLC0415

    with interrupts.raising():
        done = rekey_home(home, ticket, wall_ms(), accept_absent=accept_absent)
    data = {
        "node_id": done.node_key.hex(),
        "aside": str(done.aside),
        "old_key": str(done.old_key),
        "entries": done.entries,
        "stranded": done.stranded,
        "unreadable": done.unreadable,
    }
    lines = [
        f"new key    {done.node_key.hex()}",
        f"old files  {done.aside} and {done.old_key.name} (never run a node on them)",
        f"readable   {done.entries} entries; {done.unreadable} places were not",
        f"set aside  {done.stranded} entries of the old key; what does not count is written again",
        "next       stop every other copy of this home, then `mesh up`",
    ]
    app.done(data, "\n".join(lines))


def _home(home: Home) -> Iterator[Finding]:
    yield Finding("home", True, str(home.path))
    places: list[tuple[str, Path]] = [("key", home.key_path), ("database", home.database_path)]
    for name, path in places:
        try:
            found = path.stat()
        except OSError as error:
            remedy = "restore the home from a back-up, or join again in another --home"
            yield Finding(name, False, f"{path}: {error.strerror}", remedy)
            continue
        mode, me = stat.S_IMODE(found.st_mode), os.geteuid()
        if found.st_uid != me:
            words = f"{path.name} belongs to user {found.st_uid}, this is user {me}"
            yield Finding(
                name, False, words, f"as root: chown {me} {path}; or run as user {found.st_uid}"
            )
            continue
        is_private = not mode & _OTHERS
        yield Finding(name, is_private, f"{path.name} has mode {mode:o}", f"chmod 600 {path}")
    yield findings.space(home.path)
    socket = home.find_socket()
    if socket is not None:
        mode = stat.S_IMODE(socket.stat().st_mode)
        yield Finding(
            "socket", not mode & _OTHERS, f"{socket} has mode {mode:o}", "mesh down, then mesh up"
        )


def _database(home: Home) -> Iterator[Finding]:
    remedy = _REPAIR
    if home.database_path.exists() and not os.access(home.database_path, os.R_OK):
        # It may be as whole as ever, and a repair would put it aside.
        found = f"{home.database_path.name} may not be read by this user"
        yield Finding("integrity", False, f"database: {found}", f"ls -l {home.path}")
        return
    try:
        lost = lost_commits(home.database_path)
    except OSError as error:
        yield Finding("integrity", False, f"database: {error.strerror}", remedy)
        return
    if lost:
        # Not opened: SQLite would throw away what stands behind the damage.
        found = f"the write-ahead log is damaged before {lost} committed transactions"
        yield Finding("integrity", False, f"database: {found}", remedy)
        return
    try:
        connection = sqlite3.connect(f"file:{home.database_path}?mode=ro", uri=True, timeout=5.0)
        try:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        found = str(error)
    yield Finding("integrity", found == "ok", f"database: {found}", remedy)
    if found != "ok":
        return
    try:
        # Only the holder of the lock may look closer; a running node looks as it reads.
        with home.lock():
            from mesh.node.repair import why_damaged  # noqa: PLC0415 - only when needed

            damage = why_damaged(home) if home.database_path.exists() else ""
    except MeshError:
        return
    found = damage or "hashes and signatures are those of their authors"
    yield Finding("entries", not damage, found, remedy)


def _node(app: App, home: Home) -> Iterator[Finding]:
    try:
        status = app.call("status")
    except MeshError as error:
        yield Finding("node", False, error.message, error.hint or f"see {home.log_path}")
        return
    is_running = status["running"]
    if is_running:
        where = ", ".join(status["listen"]) or "nothing"
        yield Finding("node", True, f"running, listens at {where}")
        version = status.get("version")
        found = f"the node is {version}, this command is {VERSION}"
        yield Finding("version", version == VERSION, found, "mesh down, then mesh up")
    else:
        yield Finding("node", False, _why_not_running(home), "mesh up")
    yield from findings.of_node(status)
    if is_running:
        yield from findings.of_network(status)


def _why_not_running(home: Home) -> str:
    try:
        home.lock().release()
    except HomeInUse as error:
        return error.message
    return "the node is not running"
