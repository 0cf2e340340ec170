"""Which way an operation goes: to the running node, or to the home itself if none runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from mesh.core.errors import Unavailable
from mesh.storage.errors import HomeInUse

if TYPE_CHECKING:
    from cli.app import App

#: A home whose lock is held and whose socket nobody serves is starting, stopping, or in the hands
#: of another command: all of them are over soon.
BUSY_S_MAX: Final = 10.0
_POLL_S: Final = 0.05

OFFLINE_NOTE: Final = "the node is not running: written here, it spreads after `mesh up`"


def call(
    app: App,
    name: str,
    arguments: Mapping[str, Any],
    *,
    is_write: bool,
    timeout_s: float | None,
    told: Callable[[Any], None] | None,
) -> Any:
    """See `App.call`."""
    home = app.home.open(app.home.path)
    give_up_s = time.monotonic() + BUSY_S_MAX
    while True:
        socket_path = home.find_socket()
        if socket_path is not None:
            from cli import client  # noqa: PLC0415 - 15 ms that `--help` saves

            try:
                return client.call(
                    socket_path, name, arguments, timeout_s=timeout_s, told=told, warn=app.note
                )
            except client.NotRunning:
                pass
        try:
            result = _direct(app, name, arguments, told)
        except HomeInUse as error:
            if time.monotonic() >= give_up_s:
                raise Unavailable(error.message, hint="wait for it, or end that process") from error
            time.sleep(_POLL_S)
            continue
        if is_write:
            app.note(OFFLINE_NOTE)
        return result


def _direct(
    app: App, name: str, arguments: Mapping[str, Any], told: Callable[[Any], None] | None
) -> Any:
    # Asking for the lock first costs nothing; loading the node to learn that it runs costs 0.5 s.
    app.home.lock().release()
    from mesh.api.direct import perform  # noqa: PLC0415 - trio and the node, only when needed

    return perform(app.home.path, name, arguments, told=told)
