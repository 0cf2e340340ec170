"""
Permission bits: what a grant allows, as plain integers so that attenuation is one AND.

No bit implies another. `child & ~parent == 0` is the whole test, and it stays one because there
is no "administrator may do everything".

Source: docs/formats.md §Permissions.
"""

from __future__ import annotations

from typing import Final

READ: Final = 1
COMMENT: Final = 2
WRITE: Final = 4
CREATE: Final = 8
CLAIM: Final = 16
EXECUTE: Final = 32
APPROVE: Final = 64
DELEGATE: Final = 128
REVOKE: Final = 256
PLAN: Final = 512
ADMIN: Final = 1024
ARCHIVE: Final = 2048
OWN: Final = 4096

#: Every bit that this version defines; a grant may carry others, which mean nothing here.
ALL: Final = 8191
#: What an invitation gives when nothing else is asked for.
MEMBER: Final = READ | COMMENT | WRITE | CREATE | CLAIM | DELEGATE | ARCHIVE | OWN

_NAMES: Final = (
    "READ",
    "COMMENT",
    "WRITE",
    "CREATE",
    "CLAIM",
    "EXECUTE",
    "APPROVE",
    "DELEGATE",
    "REVOKE",
    "PLAN",
    "ADMIN",
    "ARCHIVE",
    "OWN",
)


def names(perms: int) -> tuple[str, ...]:
    """The names of the bits in *perms*, lowest bit first; bits of a later version are left out."""
    return tuple(name for bit, name in enumerate(_NAMES) if perms >> bit & 1)


def parse(words: str) -> int:
    """
    The bits that *words* ("read, write" or "READ WRITE") name.

    Raises:
        ValueError: A word names no permission; the message lists those that exist.
    """
    perms = 0
    for word in words.replace(",", " ").split():
        if word.upper() not in _NAMES:
            known = ", ".join(name.lower() for name in _NAMES)
            raise ValueError(f"{word!r} is no permission; there are: {known}")
        perms |= 1 << _NAMES.index(word.upper())
    return perms


def attenuates(child: int, parent: int) -> bool:
    """Whether *child* allows nothing that *parent* does not; unknown bits count as bits."""
    return child & ~parent == 0
