"""What a replica says of an entry that it holds, and under which name each refusal shows."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

from capability.bodies import (
    CAVEAT_CHILD_PERMS,
    CAVEAT_COMPLEXITY,
    CAVEAT_DEPTH,
    CAVEAT_FIELDS,
    CAVEAT_GLOBS,
    CAVEAT_GRANTS,
    CAVEAT_ISSUE_BEFORE,
    CAVEAT_OPS,
    CAVEAT_PHASES,
    CAVEAT_SEQ,
    CAVEAT_SESSION,
)

__all__ = ["Reason", "Verdict", "caveat_reason"]


class Verdict(IntEnum):
    """COUNTS and VOID may change with what is held; UNDECIDED waits for a link that is not."""

    COUNTS = 0
    VOID = 1
    UNDECIDED = 2


class Reason(StrEnum):
    """Why a verdict is what it is; for people and for the audit, never for another verdict."""

    COUNTS = "counts"
    NOT_HELD = "not held"
    NO_SUCH_GRANT = "no such grant"
    LINK_MISSING = "a link of its chain is missing"
    NOT_A_ROOT = "not a root key"
    NEEDS_QUORUM = "one root key alone does not suffice"
    NOT_THE_AUDIENCE = "not the audience"
    GRANT_VOID = "grant does not count"
    MALFORMED = "malformed"
    EXPIRED = "expired"
    NOT_YET_VALID = "not yet valid"
    FORKED = "forked"
    LANE_ENDED = "beyond the end of its log"
    NO_DELEGATE = "its parent may not delegate"
    WIDER_PERMS = "wider than its parent: permissions"
    WIDER_SCOPE = "wider than its parent: scope"
    WIDER_TIME = "wider than its parent: time"
    WIDER_DEPTH = "wider than its parent: depth"
    TOO_DEEP = "beyond the depth limit"
    SESSION_NOT_SELF = "a session grant is to oneself"
    SESSION_UNNAMED = "a session grant names its session"
    CAVEAT_GLOBS = "caveat 1 denies"
    CAVEAT_PHASES = "caveat 2 denies"
    CAVEAT_COMPLEXITY = "caveat 3 denies"
    CAVEAT_OPS = "caveat 4 denies"
    CAVEAT_FIELDS = "caveat 5 denies"
    CAVEAT_SEQ = "caveat 6 denies"
    CAVEAT_DEPTH = "caveat 7 denies"
    CAVEAT_SESSION = "caveat 8 denies"
    CAVEAT_CHILD_PERMS = "caveat 9 denies"
    CAVEAT_GRANTS = "caveat 10 denies"
    CAVEAT_ISSUE_BEFORE = "caveat 11 denies"
    CAVEAT_UNKNOWN = "an unknown caveat denies"


_OF_CAVEAT: Final = {
    CAVEAT_GLOBS: Reason.CAVEAT_GLOBS,
    CAVEAT_PHASES: Reason.CAVEAT_PHASES,
    CAVEAT_COMPLEXITY: Reason.CAVEAT_COMPLEXITY,
    CAVEAT_OPS: Reason.CAVEAT_OPS,
    CAVEAT_FIELDS: Reason.CAVEAT_FIELDS,
    CAVEAT_SEQ: Reason.CAVEAT_SEQ,
    CAVEAT_DEPTH: Reason.CAVEAT_DEPTH,
    CAVEAT_SESSION: Reason.CAVEAT_SESSION,
    CAVEAT_CHILD_PERMS: Reason.CAVEAT_CHILD_PERMS,
    CAVEAT_GRANTS: Reason.CAVEAT_GRANTS,
    CAVEAT_ISSUE_BEFORE: Reason.CAVEAT_ISSUE_BEFORE,
}


def caveat_reason(key: int) -> Reason:
    """The name of a refusal by the caveat *key*."""
    return _OF_CAVEAT.get(key, Reason.CAVEAT_UNKNOWN)
