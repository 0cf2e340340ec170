"""The entry point: loads one command and nothing else, and turns errors into exit codes."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

import click

from cli import interrupts
from cli.app import App, OutputClosed, global_options, in_words, pass_app, print_error
from mesh.api.version import VERSION
from mesh.core.errors import Denied, LocalError, MeshError, UsageError

_MESH: Final = "cli.commands.mesh"
_WORKNODES: Final = "cli.commands.worknodes"

#: Every command: where it is, and its line in the help. Nothing is imported to print the help.
COMMANDS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "Mesh and nodes": {
        "init": ("cli.commands.founding:init", "Make a new mesh; this node is its root."),
        "invite": (f"{_MESH}:invite", "Print a ticket that lets another node in."),
        "join": ("cli.commands.joining:join", "Enter a mesh with a ticket, and copy it whole."),
        "up": ("cli.commands.running:up", "Start the node in the background."),
        "down": ("cli.commands.running:down", "Stop the node; nothing is lost."),
        "status": (
            "cli.commands.status:status",
            "What this node holds, and whom it is in touch with.",
        ),
        "sync": (f"{_MESH}:sync", "Compare with all connected peers now."),
        "peers": (f"{_MESH}:peers", "Who is known, where, and how the connection stands."),
        "doctor": ("cli.commands.doctor:doctor", "Look for what is wrong, and say the remedy."),
    },
    "Worknodes": {
        "create": (f"{_WORKNODES}:create", "Make a Worknode."),
        "show": (f"{_WORKNODES}:show", "One Worknode with all its fields."),
        "list": (f"{_WORKNODES}:list_", "Worknodes, filtered."),
        "tree": (f"{_WORKNODES}:tree", "Worknodes below one, as a tree."),
        "search": (f"{_WORKNODES}:search", "Worknodes that contain a text."),
        "update": (f"{_WORKNODES}:update", "Set, add to and remove from fields."),
        "move": (f"{_WORKNODES}:move", "Put a Worknode under another."),
        "archive": (f"{_WORKNODES}:archive", "Take a Worknode out of the tree; it is kept."),
        "history": (f"{_WORKNODES}:history", "Everything that was written to a Worknode."),
        "watch": (f"{_WORKNODES}:watch", "What happens, as it happens."),
        "import": ("cli.commands.importing:import_", "Bring in another tracker's export."),
    },
    "Simulation": {
        "sim": ("cli.commands.simulating:sim", "What happens under faults, in virtual time."),
    },
    "Help": {
        "help": ("cli.commands.topics:help_", "Help on a command or a topic (exit-codes)."),
    },
}


class _Commands(click.Group):
    """Loads a command's module when the command is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [name for section in COMMANDS.values() for name in section]

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - as above
        cmd_name: str,
    ) -> click.Command | None:
        for section in COMMANDS.values():
            if cmd_name in section:
                module, _, attribute = section[cmd_name][0].partition(":")
                found = getattr(importlib.import_module(module), attribute)
                assert isinstance(found, click.Command)
                return found
        return None

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - as above
        formatter: click.HelpFormatter,
    ) -> None:
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, line) for name, (_, line) in section.items()])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: `mesh help exit-codes`. Each command: `mesh COMMAND --help`.",
)
@click.version_option(VERSION, prog_name="mesh", message="%(prog)s %(version)s")
@global_options
@pass_app
def mesh(_: App) -> None:
    """One tree of work, shared by agents and people on many machines, with no server."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    app = App()
    # Also when the arguments cannot be parsed, the answer has the form that was asked for.
    before_dashes = given[: given.index("--")] if "--" in given else given
    app.is_json = "--json" in before_dashes
    # Closed by the caller, as in `mesh list >&-`, they are None.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - until the end
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - as above
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that cannot show "✓" shows "?", which is better than a traceback.
            stream.reconfigure(errors="replace")
    err, out = in_words(app, LocalError(interrupts.INTERRUPTED))
    with interrupts.ending(interrupts.FAILED, err, out):
        code = _run(app, given)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
    sys.exit(code)


def _run(app: App, arguments: list[str]) -> int:
    try:
        result = mesh.main(arguments, prog_name="mesh", standalone_mode=False, obj=app)
    except MeshError as error:
        return _fail(app, error)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return 2 if arguments else 0
    except click.ClickException as error:
        return _fail(app, UsageError(_sentence(error), hint=_where_help_is(error)))
    except (click.Abort, KeyboardInterrupt):
        return _fail(app, LocalError(interrupts.INTERRUPTED))
    except OutputClosed:
        _discard_output()
        return 0
    except Exception as error:  # noqa: BLE001 - whatever is left becomes one clear line
        return _fail(app, _explained(error))
    return result if isinstance(result, int) else 0


def _fail(app: App, error: MeshError) -> int:
    interrupts.decided(error.exit_code)
    print_error(app, error)
    return error.exit_code


def _discard_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sentence(error: click.ClickException) -> str:
    return error.format_message().rstrip(".")


def _where_help_is(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"see `{context.command_path if context else 'mesh'} --help`"


def _explained(error: Exception) -> MeshError:
    """An error of the floors below as people are told it."""
    from capability.errors import CapabilityError, TicketError  # noqa: PLC0415 - rarely needed

    if isinstance(error, TicketError):
        # Its words end with the remedy.
        message, _, hint = str(error).rpartition("; ")
        return UsageError(message or hint, hint=hint)
    if isinstance(error, CapabilityError):
        return Denied(str(error), hint="ask a member for a new ticket: mesh invite")
    if isinstance(error, OSError):
        return LocalError(f"{error.filename or 'system'}: {error.strerror or error}")
    if os.environ.get("MESH_DEBUG"):
        traceback.print_exception(error)
    return LocalError(
        f"this is a mistake of the program: {type(error).__name__}: {error}",
        hint="MESH_DEBUG=1 shows where; please report it",
    )
