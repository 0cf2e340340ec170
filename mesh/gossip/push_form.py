"""
The form of the messages that `Broadcast` speaks: their fields, and what a well-formed one is.

`mesh.wire` has the table and the encoding. An announcement is flat, since it is said most often:
three small integers for each lane, once its author has a number on the link.
"""

from __future__ import annotations

from typing import TypeAlias

from capability.errors import FormError
from capability.form import array, ascending, binary, fixed, record, unsigned
from capability.keys import PUBLIC_BYTES
from capability.limits import AUTHORITY_SEQ_MAX, ENTRY_BYTES_MAX, INT_MAX
from crdt.codec import Value
from mesh.gossip.limits import (
    ENTRIES_MAX,
    GRAFTS_MAX,
    HAVE_AUTHORS_MAX,
    HAVES_MAX,
    HOPS_MAX,
    PRUNES_MAX,
)
from mesh.gossip.messages import Graft, Have, Held, Missed, Prune, Push

Fields: TypeAlias = tuple[Value, ...]


def seq_max(lane: int) -> int:
    """The greatest number of a lane."""
    return AUTHORITY_SEQ_MAX if lane == 0 else INT_MAX


def read_lane(value: Value) -> int:
    return unsigned(value, "lane", most=1)


def read_flag(value: Value, what: str) -> bool:
    if not isinstance(value, bool):
        raise FormError(f"{what}: expected a bool, got {value!r:.80}")
    return value


def read_encoded(value: Value) -> tuple[bytes, ...]:
    """Entries, of which nothing is known but their size."""
    items = array(value, "entries", most=ENTRIES_MAX)
    return tuple(binary(item, "entry", most=ENTRY_BYTES_MAX) for item in items)


def write_push(push: Push) -> Fields:
    # One's own entries, which most pushes on a small mesh are, say nothing of hops.
    return (push.entries, push.hops) if push.hops else (push.entries,)


def read_push(fields: Fields) -> Push:
    if len(fields) == 1:
        return Push(read_encoded(fields[0]))
    entries, hops = record(fields, 2, "push")
    return Push(read_encoded(entries), unsigned(hops, "hops", least=1, most=HOPS_MAX))


def write_have(have: Have) -> Fields:
    flat: list[int] = []
    for held in have.held:
        flat += (2 * held.number + held.lane, held.seq, held.hops)
    return (have.first, have.authors, tuple(flat))


def read_have(fields: Fields) -> Have:
    first, authors, flat = record(fields, 3, "have")
    named = tuple(
        fixed(author, PUBLIC_BYTES, "author")
        for author in array(authors, "authors", most=HAVE_AUTHORS_MAX)
    )
    most = HAVE_AUTHORS_MAX - len(named) if named else 0
    items = array(flat, "have", least=3, most=3 * HAVES_MAX)
    if len(items) % 3:
        raise FormError(f"have: expected integers by threes, got {len(items)}")
    held = tuple(map(_held, items[::3], items[1::3], items[2::3]))
    ascending((2 * item.number + item.lane for item in held), "have")
    return Have(unsigned(first, "first", most=most), named, held)


def _held(key: Value, seq: Value, hops: Value) -> Held:
    number, lane = divmod(unsigned(key, "number", most=2 * HAVE_AUTHORS_MAX - 1), 2)
    return Held(
        number,
        lane,
        unsigned(seq, "seq", least=1, most=seq_max(lane)),
        unsigned(hops, "hops", most=HOPS_MAX),
    )


def write_graft(graft: Graft) -> Fields:
    return (tuple((item.author, item.lane, item.after) for item in graft.missed),)


def read_graft(fields: Fields) -> Graft:
    (missed,) = record(fields, 1, "graft")
    read = tuple(map(_missed, array(missed, "graft", least=1, most=GRAFTS_MAX)))
    ascending(((item.author, item.lane) for item in read), "graft")
    return Graft(read)


def _missed(value: Value) -> Missed:
    author, lane, after = record(value, 3, "missed")
    number = read_lane(lane)
    return Missed(
        fixed(author, PUBLIC_BYTES, "author"),
        number,
        unsigned(after, "after", most=seq_max(number)),
    )


def write_prune(prune: Prune) -> Fields:
    return (prune.authors, prune.rest)


def read_prune(fields: Fields) -> Prune:
    authors, rest = record(fields, 2, "prune")
    all_others = read_flag(rest, "rest")
    named = array(authors, "authors", least=0 if all_others else 1, most=PRUNES_MAX)
    read = tuple(fixed(author, PUBLIC_BYTES, "author") for author in named)
    ascending(read, "authors")
    return Prune(read, all_others)
