"""`mesh help`: a command, or a topic."""

from __future__ import annotations

import click

from cli import exit_codes
from cli.app import App, command
from mesh.core.errors import NotFound


@command("help")
@click.argument("topic", required=False)
@click.pass_context
def help_(context: click.Context, app: App, topic: str | None) -> None:
    """Help on a command, or on the topic `exit-codes`."""
    if topic == "exit-codes":
        data = {str(code): meaning for code, meaning in exit_codes.MEANINGS.items()}
        app.done(data, "\n".join(f"{code}  {text}" for code, text in data.items()))
        return
    parent = context.parent
    assert parent is not None
    assert isinstance(parent.command, click.Group)
    if topic is None:
        app.done({"help": parent.get_help()}, parent.get_help())
        return
    found = parent.command.get_command(parent, topic)
    if found is None:
        raise NotFound(f"no command and no topic {topic!r}", hint="`mesh --help` lists them")
    text = found.get_help(click.Context(found, info_name=topic, parent=parent))
    app.done({"help": text}, text)
