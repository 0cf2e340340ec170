"""What both stores must do alike: trim the event list, tell a whole snapshot from a damaged one."""

from __future__ import annotations

import hashlib
from typing import Final

from mesh.core import limits

#: Events are trimmed when they are over their bound by this part of it, so not at each commit.
TRIM_SLACK_DIVISOR: Final = 10
CHECKSUM_BYTES: Final = 32

_SNAPSHOT_DOMAIN: Final = b"worknode-mesh/v1/snapshot\0"


def events_kept_from(first: int, last: int) -> int | None:
    """The least cursor to keep of those held, *first* .. *last*; None while none has to go."""
    most = limits.EVENTS_KEPT_MAX
    if last - first + 1 <= most + most // TRIM_SLACK_DIVISOR:
        return None
    return last - most + 1


def snapshot_checksum(n: int, data: bytes) -> bytes:
    """BLAKE2b over the number up to which the snapshot covers the log, and its bytes."""
    hashed = hashlib.blake2b(_SNAPSHOT_DOMAIN, digest_size=CHECKSUM_BYTES)
    hashed.update(n.to_bytes(8, "big"))
    hashed.update(data)
    return hashed.digest()
