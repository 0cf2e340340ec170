"""
Where the `mesh` command begins: an interrupt ends it with one line, also while it is being loaded.

Nothing but this is imported before that is so.
"""

from __future__ import annotations

from typing import NoReturn

from cli import interrupts

__all__ = ["main"]


def main() -> NoReturn:
    """Load the command and run it."""
    interrupts.install()
    from cli import main as command  # noqa: PLC0415 - after the above

    try:
        command.main()
    finally:
        interrupts.ignore()
