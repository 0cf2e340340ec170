"""
What an interrupt (Ctrl-C) does: it ends the process, with one line and an exit code.

Python's own way is an exception between any two instructions, also within an import, a callback or
another library's clean-up, where it is swallowed or shown with a traceback. Here nothing is raised,
unless a command has asked for it because it has something to undo: what was acknowledged is on
disk, and whatever was not stands as after a crash, from which every start recovers.

Nothing but the standard library's smallest is imported here: it is the first of all modules.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "answering",
    "decided",
    "ending",
    "held",
    "ignore",
    "install",
    "raising",
]

#: As for every error that no other code names; see `mesh help exit-codes`.
FAILED: Final = 1
INTERRUPTED: Final = "interrupted"

_OUT: Final = 1
_ERR: Final = 2

_Handler = Callable[[int, FrameType | None], object]


class _Answer:
    """How far the answer of the command has come."""

    #: Something of it is on standard output: what follows there would not be understood.
    is_begun = False
    #: The exit code, once nothing changes it any more.
    code: int | None = None


class _Leave:
    """A handler that ends the process."""

    __slots__ = ("_code", "_said")

    def __init__(self, code: int, said: tuple[tuple[int, bytes], ...] = ()) -> None:
        self._code = code
        self._said = said

    def __call__(self, *_: object) -> NoReturn:
        if _Answer.code is not None:
            os._exit(_Answer.code)
        for descriptor, text in self._said:
            if descriptor == _OUT and _Answer.is_begun:
                continue
            try:
                # Behind the "^C" that the terminal shows.
                start = b"\n" if descriptor == _ERR and os.isatty(descriptor) else b""
                os.write(descriptor, start + text)
            except OSError:
                # Whoever read it has gone.
                continue
        os._exit(self._code)


def install() -> None:
    """
    From now on an interrupt ends the process; not if whoever started it has them ignored.

    Without this the rest of this module does nothing, and Python's own way remains.
    """
    # As `nohup` and `&` do.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _Leave(FAILED, _lines(f"mesh: {INTERRUPTED}")))


@contextmanager
def ending(code: int, err: str = "", out: str = "") -> Iterator[None]:
    """Within, an interrupt ends the process with *code*, and says *err* and *out*."""
    with _handling(_Leave(code, _lines(err, out))):
        yield


@contextmanager
def raising() -> Iterator[None]:
    """Within, an interrupt raises KeyboardInterrupt: there is something to undo."""
    with _handling(_raise):
        yield


def answering() -> None:
    """From now on an interrupt adds nothing to standard output: there the answer begins."""
    _Answer.is_begun = True


def decided(code: int) -> None:
    """What comes of the command is known: an interrupt changes it no more, and says nothing."""
    _Answer.code = code


@contextmanager
def held() -> Iterator[None]:
    """Within, an interrupt waits: what is done must not be half done. Microseconds, no more."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore() -> None:
    """It is done; while Python takes itself down, an interrupt would only change the exit code."""
    if _is_ours():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _handling(handler: _Handler) -> Iterator[None]:
    if not _is_ours():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _raise(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _is_ours() -> bool:
    """Whether `install` has been called, and interrupts are heeded, and not by another."""
    handler = signal.getsignal(signal.SIGINT)
    return isinstance(handler, _Leave) or handler is _raise


def _lines(err: str, out: str = "") -> tuple[tuple[int, bytes], ...]:
    """What to write where; a stream that was closed at the start may be another file by now."""
    streams = ((_OUT, out, sys.__stdout__), (_ERR, err, sys.__stderr__))
    return tuple(
        (descriptor, f"{text}\n".encode(stream.encoding, "replace"))
        for descriptor, text, stream in streams
        if text and stream is not None
    )
