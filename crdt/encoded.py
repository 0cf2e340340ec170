"""Values that lattices hold as canonical bytes, read back."""

from typing import TYPE_CHECKING

from crdt.codec import Value, decode

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["decoded", "sorted_values"]


def decoded(data: bytes) -> Value:
    """The value that this process encoded as *data*."""
    return decode(data, size_max=len(data))


def sorted_values(encodings: "Iterable[bytes]") -> tuple[Value, ...]:
    """The distinct values of *encodings*, in the order of their bytes: a total order of values."""
    return tuple(decoded(data) for data in sorted(set(encodings)))
