"""Everything that crdt raises on purpose."""

__all__ = ["BirthConflictError", "CodecError", "CrdtError", "StampError"]


class CrdtError(Exception):
    """Root of this package's errors. Whatever raised it left its object unchanged."""


class CodecError(CrdtError):
    """A value or bytes outside the canonical, bounded form. Nothing was decoded."""


class StampError(CrdtError):
    """A stamp outside 0 .. 2**63 - 1. The clock did not move."""


class BirthConflictError(CrdtError):
    """A birth edge that no hash could produce: a second parent, or a cycle of births."""
