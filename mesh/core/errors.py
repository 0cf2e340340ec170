"""
Errors of the mesh: by blame (ours, the peer's, the world's) and by certainty.

A *definite* error says that the thing did not happen. `Unknown` says that it may have: it is the
only error for a time-out after sending, and it must never be reported as a failure.
"""

from __future__ import annotations

from typing import ClassVar


class MeshError(Exception):
    """
    Root of what users of the mesh meet.

    `code` is stable and machine-readable; `hint` says what to do; `exit_code` is the command
    line's (CLI conventions: 1 error, 2 usage, 3 not found, 4 conflict, 5 precondition, 6 denied,
    7 unavailable).
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class LocalError(MeshError):
    """The caller on this machine asked for something that cannot be; nothing changed."""


class UsageError(LocalError):
    """An argument has the wrong form."""

    code = "usage"
    exit_code = 2


class NotFound(LocalError):
    """No Worknode, peer or mesh answers to that name."""

    code = "not_found"
    exit_code = 3


class Conflict(LocalError):
    """It exists already, or somebody else was first."""

    code = "conflict"
    exit_code = 4


class Precondition(LocalError):
    """The state of this node or Worknode does not allow it now."""

    code = "precondition"
    exit_code = 5


class Denied(LocalError):
    """No capability of this node covers it; the write would not count anywhere."""

    code = "denied"
    exit_code = 6


class Unavailable(LocalError):
    """Not now: nobody can be reached, a bound is hit, or the disk refuses. Nothing happened."""

    code = "unavailable"
    exit_code = 7
    retryable = True


class BackPressure(Unavailable):
    """A named bound is reached; try again when it has drained."""

    code = "backpressure"


class Unknown(MeshError):
    """It may or may not have happened: the answer did not come in time."""

    code = "unknown"
    exit_code = 7
    retryable = True


class StorageError(MeshError):
    """The disk refused or the file is damaged; the message names the file and the remedy."""

    code = "storage"


class DamagedRecord(StorageError):
    """What is folded of a Worknode cannot be read; folding the log again brings it back."""


class RemoteError(MeshError):
    """A peer's fault. Raised by decoders only; its link is closed, nobody else is touched."""

    code = "remote"


class ProtocolViolation(RemoteError):
    """A peer broke the protocol; nothing of the message was applied."""

    code = "protocol_violation"
