"""
Where the `mesh` command begins: an interrupt ends it with one line, also while it is being loaded.

Nothing but this is imported before that is so.
"""

from __future__ import annotations

import os
import signal
from typing import Final, NoReturn

__all__ = ["main"]

#: As for every error that no other code names; see `mesh help exit-codes`.
_INTERRUPTED: Final = 1


def main() -> NoReturn:
    """Load the command and run it."""
    # Who started this may want it to ignore interrupts, as `nohup` and `&` do.
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_default:
        signal.signal(signal.SIGINT, _leave)
    from cli import main as command  # noqa: PLC0415 - after the above

    try:
        if is_default:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        command.main()
    except KeyboardInterrupt:
        _leave()
    finally:
        # It is done; while Python takes itself down, an interrupt would only change the exit code.
        if is_default:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leave(*_: object) -> NoReturn:
    # Nothing has been begun that would have to be ended; raised within an import, an exception
    # could be swallowed there.
    os.write(2, b"\nmesh: interrupted\n")
    os._exit(_INTERRUPTED)
