"""`mesh import`: other trackers' exports."""

from __future__ import annotations

import base64
from typing import Any

import click

from cli import render
from cli.app import App, command, global_options
from mesh.core.errors import UsageError

#: The node's own bound on what it takes at once.
IMPORT_BYTES_MAX = 64 * 1024 * 1024
#: A large export on a slow disk takes minutes.
IMPORT_S_MAX = 3_600.0


@click.group("import", short_help="Bring in another tracker's export.")
@global_options
def import_() -> None:
    """Bring in another tracker's export. Run twice, nothing doubles."""


@command("beads")
@click.argument("file", type=click.File("rb"))
@click.option("--under", metavar="NODE", help="Where it goes. Default: the root.")
def beads(app: App, file: Any, under: str | None) -> None:
    """Import FILE (or -): issues as JSON lines. Bad lines are skipped and named."""
    data = file.read(IMPORT_BYTES_MAX + 1)
    if len(data) > IMPORT_BYTES_MAX:
        raise UsageError(
            f"the file has more than {IMPORT_BYTES_MAX} bytes", hint="import it in parts"
        )

    def told(progress: dict[str, Any]) -> None:
        app.progress(f"importing {progress['issues']} issues: {progress['writes']} writes")

    arguments = {"content": base64.b64encode(data).decode(), "under": under}
    found = app.call("import_beads", arguments, is_write=True, timeout_s=IMPORT_S_MAX, told=told)
    app.done(found, render.imported(found))


import_.add_command(beads)
