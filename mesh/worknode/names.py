"""
What a Worknode is called: its title as a name in paths, its path, and its short id.

A path is made of titles, so it changes with them; an id never does. Names are titles made safe:
one line, no slash, bounded.
"""

from __future__ import annotations

import base64
import weakref
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import islice
from typing import Final

from attrs import define, field, frozen

from capability.ids import TRASH, WORKNODE_BYTES
from capability.ops import NS_PLAIN
from mesh.core.limits import TREE_DEPTH_MAX
from mesh.worknode.reading import Readable, Sight, look
from mesh.worknode.store import Store
from mesh.worknode.text import ID_CHARACTERS, SHORT_CHARACTERS, TRASH_NAME, id_text

#: A longer title is cut in paths.
NAME_CHARACTERS_MAX: Final = 80
#: Names of one path. Source: as deep as a node creates anything, `TREE_DEPTH_MAX`.
PATH_NAMES_MAX: Final = TREE_DEPTH_MAX
#: Stands for the beginning of a longer one.
_CUT: Final = "…"
_BITS: Final = 8 * WORKNODE_BYTES
_CHARACTER_BITS: Final = 5


@define
class IdIndex:
    """
    All born Worknodes of one store by id, sorted.

    Until births are forgotten the index only grows: what is new is what stands at the end of the
    store's births. It covers births without a counted create too; readers leave those out.
    """

    ids: list[bytes] = field(factory=list)
    seen: int = 0
    forgotten: int = 0

    def catch_up(self, store: Store) -> None:
        """Take in the births since the last call. Cost: O(1) if there are none."""
        born = len(store.births)
        if self.forgotten != store.forgotten or not self.ids:
            self.ids, self.seen, self.forgotten = [store.root], 0, store.forgotten
        if born > self.seen:
            self.ids.extend(islice(store.births, self.seen, None))
            # Two runs: the sort is a merge.
            self.ids.sort()
            self.seen = born

    def between(self, low: bytes, high: bytes) -> list[bytes]:
        """Ids from *low* to *high*, both included."""
        return self.ids[bisect_left(self.ids, low) : bisect_right(self.ids, high)]

    def shared_characters(self, node: bytes) -> int:
        """How many characters the nearest other id has in common with *node*."""
        at = bisect_left(self.ids, node)
        around = self.ids[max(0, at - 1) : at + 2]
        mine, most = int.from_bytes(node, "big"), 0
        for other in around:
            if other != node:
                unequal = (mine ^ int.from_bytes(other, "big")).bit_length()
                most = max(most, (_BITS - unequal) // _CHARACTER_BITS)
        return most


# One index per store, for as long as the store lives. It is a cache of a pure function.
_INDEXES: Final[dict[int, tuple[weakref.ref[Store], IdIndex]]] = {}


def index_of(store: Store) -> IdIndex:
    """The index of this store's ids, brought up to date."""
    key = id(store)
    known = _INDEXES.get(key)
    if known is None or known[0]() is not store:
        known = (weakref.ref(store, lambda _: _INDEXES.pop(key, None)), IdIndex())
        _INDEXES[key] = known
    known[1].catch_up(store)
    return known[1]


def short_id(replica: Readable, node: bytes) -> str:
    """The shortest prefix of at least 8 characters that no other id of this replica has."""
    length = max(SHORT_CHARACTERS, index_of(replica.store).shared_characters(node) + 1)
    return id_text(node)[:length]


def prefixed(store: Store, prefix: str) -> list[bytes]:
    """The born Worknodes whose ids begin with *prefix*, in base32. Cost: O(log n + found)."""
    padded = prefix.upper() + "A" * (ID_CHARACTERS - len(prefix)) + "======"
    low = int.from_bytes(base64.b32decode(padded), "big")
    free = max(0, _BITS - _CHARACTER_BITS * len(prefix))
    high = low | ((1 << free) - 1)
    return index_of(store).between(
        low.to_bytes(WORKNODE_BYTES, "big"), high.to_bytes(WORKNODE_BYTES, "big")
    )


def title_of(replica: Readable, node: bytes, sight: Sight | None = None) -> str:
    """The title, of the root the mesh's name while it has none; empty if there is no text."""
    title = (sight or look(replica, node)).register(NS_PLAIN, "title")
    if isinstance(title, str) and title:
        return title
    return replica.name if node == replica.store.root else ""


def safe_name(title: str) -> str:
    """A title as one name of a path; empty if nothing of it can stand there."""
    words = title
    if not title.isprintable() or "/" in title:
        kept = (c if c.isprintable() and c != "/" else "-" if c == "/" else " " for c in title)
        words = "".join(kept)
    name = " ".join(words.split())[:NAME_CHARACTERS_MAX].rstrip()
    return "" if name in {".", ".."} else name


def name_of(replica: Readable, node: bytes, sight: Sight | None = None) -> str:
    """What a Worknode is called in paths: its title made safe, else its short id."""
    return safe_name(title_of(replica, node, sight)) or short_id(replica, node)


def above(store: Store, node: bytes) -> Iterator[bytes]:
    """Its ancestors from the parent on, up to the root, the trash or what is not known here."""
    parent = store.parent(node)
    while parent is not None:
        yield parent
        parent = store.parent(parent)


def is_archived(store: Store, node: bytes) -> bool:
    """Whether it stands in the trash, or below something that does."""
    return any(parent == TRASH for parent in above(store, node))


@frozen
class Place:
    """
    Where a Worknode stands: its path, whether that begins at the trash, and how many names it has.

    A path begins anew after each `PATH_NAMES_MAX` names, with `/…`: members may put things as deep
    as they like, and all paths of a chain would be as long as its length squared.
    """

    path: str
    archived: bool
    names: int

    def below(self, name: str) -> Place:
        """The place of what is called *name* and stands here. Cost: O(path)."""
        begun = self.names % PATH_NAMES_MAX == 0 and self.names > 0
        path = f"/{_CUT}/{name}" if begun else f"{self.path}/{name}"
        return Place(path, self.archived, self.names + 1)


def place_of(replica: Readable, node: bytes) -> Place:
    """Found by going up to its top. Cost: O(depth), and the names of its path."""
    lineage = [node, *above(replica.store, node)]
    top, depth = lineage[-1], len(lineage) - 1
    before = max(0, depth - 1) // PATH_NAMES_MAX * PATH_NAMES_MAX
    names = [name_of(replica, step) for step in lineage[: depth - before]]
    if before:
        names.append(_CUT)
    elif top == TRASH:
        names.append(TRASH_NAME)
    elif top == replica.store.root:
        names.append(name_of(replica, top))
    else:
        names += [short_id(replica, top), "?"]
    return Place("/" + "/".join(reversed(names)), top == TRASH, depth)


def path_of(replica: Readable, node: bytes) -> str:
    """The names from the root down; `/.trash/…` when archived, `/?/…` while a place is unknown."""
    return place_of(replica, node).path
