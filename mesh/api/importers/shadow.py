"""
The shadow of an import: digests of what the source said last time, kept with the Worknode.

A field is written when the *source* has changed since, and not when the mesh has: what people here
have changed survives the next import of an unchanged export. Of sets each member has a digest, so
that a member that the source dropped is taken out and one that was added here stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

from attrs import frozen

from capability.values import TAG_INSTANT, TAG_LIST, TAG_PAIRS, Value
from crdt.codec import encode

#: The registers of the door that hold it; views do not show them.
SHADOW: Final = "_import"
SHADOW_PARENT: Final = "_import_parent"
_BYTES: Final = 8


def mark(value: Value) -> bytes:
    """A short digest: it tells changes of one field apart, it protects nothing."""
    return hashlib.blake2b(encode(value), digest_size=_BYTES).digest()


@frozen
class Shadow:
    """What the source said: when, and digests by field and set."""

    updated_ms: int | None
    registers: Mapping[str, bytes]
    sets: Mapping[str, frozenset[bytes]]

    @classmethod
    def of(
        cls,
        updated_ns: int | None,
        registers: Mapping[str, Value],
        sets: Mapping[str, Iterable[Value]],
    ) -> Shadow:
        """The shadow of what a source says."""
        return cls(
            None if updated_ns is None else updated_ns // 1_000_000,
            {name: mark(value) for name, value in registers.items()},
            {name: found for name, rows in sets.items() if (found := frozenset(map(mark, rows)))},
        )

    def to_value(self) -> Value:
        """What the register holds."""
        at: Value = None if self.updated_ms is None else (TAG_INSTANT, self.updated_ms)
        sets: dict[str, Value] = {
            name: (TAG_LIST, *sorted(marks)) for name, marks in self.sets.items()
        }
        registers: Value = (TAG_PAIRS, *sorted(self.registers.items()))
        members: Value = (TAG_PAIRS, *sorted(sets.items()))
        return (TAG_PAIRS, ("at", at), ("registers", registers), ("sets", members))

    @classmethod
    def from_value(cls, value: Value) -> Shadow | None:
        """Read a shadow; None if there is none, or what a peer has put there is none."""
        found = _pairs(value)
        at = found.get("at")
        updated = at[1] if isinstance(at, tuple) and at[0] == TAG_INSTANT else None
        registers = {
            name: digest
            for name, digest in _pairs(found.get("registers")).items()
            if isinstance(digest, bytes)
        }
        sets = {
            name: frozenset(digest for digest in marks[1:] if isinstance(digest, bytes))
            for name, marks in _pairs(found.get("sets")).items()
            if isinstance(marks, tuple) and marks[0] == TAG_LIST
        }
        if not found:
            return None
        return cls(updated if isinstance(updated, int) else None, registers, sets)


def _pairs(value: Value) -> dict[str, Value]:
    """The pairs of a value, which the value grammar has checked; empty if it is none."""
    if not isinstance(value, tuple) or not value or value[0] != TAG_PAIRS:
        return {}
    found: dict[str, Value] = {}
    for pair in value[1:]:
        assert isinstance(pair, tuple) and isinstance(pair[0], str), "the grammar checked pairs"
        found[pair[0]] = pair[1]
    return found
