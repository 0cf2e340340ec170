"""
The trace of a run: one hash over every input of every host, in order.

Two runs with the same hash did the same: an engine is a function of its inputs, and what peers sent
is among them byte for byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from struct import Struct
from typing import Final

from attrs import define, field

from mesh.core.inputs import Input, Received

_PREFIX: Final = Struct("<QIH")


@define
class Trace:
    """Feeds the hash; `inputs` counts what it was fed."""

    inputs: int = 0
    _hash: hashlib.blake2b = field(factory=lambda: hashlib.blake2b(digest_size=16))

    def note(self, at_us: int, host: int, inputs: Sequence[Input]) -> None:
        """One batch of a host."""
        update = self._hash.update
        self.inputs += len(inputs)
        for item in inputs:
            if type(item) is Received:
                update(_PREFIX.pack(at_us, item.link, host))
                update(item.data)
            else:
                update(_PREFIX.pack(at_us, 0, host))
                # Inputs are frozen values of bytes, numbers and text, whose repr is their whole.
                update(repr(item).encode())

    def event(self, at_us: int, host: int, what: str) -> None:
        """Something that befell a host from outside its engine."""
        self._hash.update(_PREFIX.pack(at_us, 1, host))
        self._hash.update(what.encode())

    def hexdigest(self) -> str:
        """The hash so far, 32 hex digits."""
        return self._hash.hexdigest()
