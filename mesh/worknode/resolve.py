"""
From what people type to a Worknode: a whole id, a unique prefix of one, or a path of names.

An id comes before a name: what reads as the prefix of an existing id is that Worknode. A path goes
down from the root (`/acme/engineering/x`, with or without the mesh's name); names are titles as
`mesh.worknode.names.safe_name` writes them.
"""

from __future__ import annotations

import re
from typing import Final

from capability.ids import TRASH
from mesh.core.errors import NotFound, UsageError
from mesh.worknode.names import (
    index_of,
    name_of,
    path_of,
    prefixed,
    safe_name,
    short_id,
    title_of,
)
from mesh.worknode.reading import Readable
from mesh.worknode.store import Store
from mesh.worknode.text import TRASH_NAME

#: A shorter text is never taken for the beginning of an id.
PREFIX_CHARACTERS_MIN: Final = 4
#: Candidates that an error names.
CANDIDATES_MAX: Final = 5

_PREFIX: Final = re.compile(rf"[a-z2-7]{{{PREFIX_CHARACTERS_MIN},26}}", re.IGNORECASE | re.ASCII)
_HINT: Final = "`mesh list` shows what there is; give an id, a prefix of one, or a path of names"


def resolve(replica: Readable, text: str) -> bytes:
    """
    The existing Worknode that *text* means; `.` and `/` are the root.

    Cost: O(log n) for ids, O(siblings at each step) for paths.

    Raises:
        NotFound: Nothing here answers to it.
        UsageError: More than one does; the message names them.
    """
    text = text.strip()
    store = replica.store
    if text in {".", "/"}:
        return store.root
    if not text:
        raise UsageError("an empty text names no Worknode", hint=_HINT)
    found = [] if "/" in text else by_prefix(store, text)
    if not found:
        found = _by_path(replica, [part for part in text.split("/") if part])
    if not found:
        raise NotFound(f"no Worknode {text!r:.200}", hint=_HINT)
    return _only(replica, text, found)


def by_prefix(store: Store, text: str) -> list[bytes]:
    """The existing Worknodes whose ids begin with *text*; none if it is no prefix of an id."""
    if not _PREFIX.fullmatch(text):
        return []
    return [node for node in prefixed(store, text) if store.exists(node)]


def _by_path(replica: Readable, parts: list[str]) -> list[bytes]:
    store = replica.store
    if not parts:
        return []
    if parts[0] == TRASH_NAME:
        return _descend(replica, TRASH, parts[1:])
    found: list[bytes] = []
    if _is_called(replica, store.root, parts[0]):
        found = _descend(replica, store.root, parts[1:]) if parts[1:] else [store.root]
    # A mesh and a Worknode directly under its root may share a name.
    return found or _descend(replica, store.root, parts)


def _descend(replica: Readable, top: bytes, parts: list[str]) -> list[bytes]:
    """All Worknodes at the end of that path: names need not be unique."""
    level = [top] if parts else []
    for part in parts:
        level = [
            child
            for node in level
            for child in replica.store.siblings(node)
            if _is_called(replica, child, part)
        ]
    return [node for node in level if replica.store.exists(node)]


def _is_called(replica: Readable, node: bytes, name: str) -> bool:
    """Whether *name* is its title, its title as a name, or its short id where it has none."""
    title = title_of(replica, node)
    return name == title or name == (safe_name(title) or name_of(replica, node))


def _only(replica: Readable, text: str, found: list[bytes]) -> bytes:
    if len(found) == 1:
        return found[0]
    named = [f"{short_id(replica, n)} {path_of(replica, n)}" for n in found[:CANDIDATES_MAX]]
    more = f" and {len(found) - len(named)} more" if len(found) > len(named) else ""
    raise UsageError(
        f"{text!r:.200} means {len(found)} Worknodes: {'; '.join(named)}{more}",
        hint="give more characters of the id",
    )


__all__ = [
    "CANDIDATES_MAX",
    "PREFIX_CHARACTERS_MIN",
    "by_prefix",
    "index_of",
    "resolve",
    "short_id",
]
