"""Convergent data types and the byte form of their values; floor 0, it knows nothing of the mesh."""

from crdt import codec, hlc
from crdt.errors import BirthConflictError, CodecError, CrdtError, StampError
from crdt.hlc import Clock

__all__ = [
    "BirthConflictError",
    "Clock",
    "CodecError",
    "CrdtError",
    "StampError",
    "codec",
    "hlc",
]
