"""Errors of capabilities: one root, split by what a caller can do about them."""


class CapabilityError(Exception):
    """Root of everything this package raises."""


class FormError(CapabilityError):
    """Bytes from outside do not have the form that docs/formats.md gives; nothing was applied."""


class SignatureRefused(CapabilityError):
    """A signature does not verify under the key that the bytes name."""


class TicketError(CapabilityError):
    """A ticket is mistyped, cut short, of another version, or does not lead to its mesh."""
