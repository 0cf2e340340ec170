"""The replica alone: entries and proofs of hostile authors, and two orders of the same."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from capability.entry import decode_signed_header
from capability.errors import FormError
from capability.keys import SeedSigner
from mesh.core.errors import ProtocolViolation
from mesh.core.limits import MESSAGE_BYTES_MAX
from mesh.wire import decode_message
from tests.fuzz.mending import Mender
from tests.fuzz.packed import pack, unpack
from tests.fuzz.target import KIB, Broken, Target
from tests.mesh.replica.checks import observer, situation
from tests.mesh.replica.histories import History, history
from tests.mesh.replica.world import Node, seed

STEPS_MAX: Final = 64
#: Rounds after which a replica that is shown the same again has come to rest.
ROUNDS_MAX: Final = 8
_NAMES: Final = ("acme", "bob", "carol", "dave", "erin")
_SEEDS: Final = range(8)


@cache
def _history(number: int) -> History:
    return history(number, steps=5)


def _replica(data: bytes) -> None:
    """
    A list of entries and of pairs of signed headers; every member's key is the fuzzer's.

    Shown one by one, again and again until nothing moves, and to a second replica from the end:
    both must then hold the same, also after a restart.
    """
    try:
        script = unpack(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(script, list):
        return
    mesh = _history(0).mesh
    mender = Mender(mesh.id, [SeedSigner(seed(name)) for name in _NAMES])
    items = [found for step in script[:STEPS_MAX] if (found := _item(mender, step)) is not None]
    one, two = observer(mesh), observer(mesh)
    before = _settle(one, items)
    one.reload()
    if situation(one) != before:
        raise Broken("another state after a restart")
    if _settle(two, items[::-1]) != before:
        raise Broken("another state from the same entries in another order")


def _item(mender: Mender, step: Any) -> bytes | None:
    try:
        return pack(mender.mend(step)) if isinstance(step, list) else None
    except ValueError:
        return None


def _settle(node: Node, items: list[bytes]) -> object:
    """Show all of *items* until nothing moves."""
    before, rounds = None, 0
    while before != (before := situation(node)):
        rounds += 1
        if rounds > ROUNDS_MAX:
            raise Broken(f"no rest after {ROUNDS_MAX} rounds")
        for item in items:
            _show(node, item)
    return before


def _show(node: Node, item: bytes) -> None:
    """One entry, or one proof as it comes in a message."""
    replica = node.replica
    halves = unpack(item)
    if len(halves) != 2:
        node.run(replica.receive([item], node.now)[1])
        return
    try:
        decode_message(pack([12, *halves]), size_max=MESSAGE_BYTES_MAX)
        first, second = (decode_signed_header(tuple(_plain(half))) for half in halves)
    except (ProtocolViolation, FormError):
        return
    node.run(replica.receive_proof(first, second, node.now)[1])


def _plain(half: list[Any]) -> Iterator[Any]:
    yield from (pack(list(part)) if isinstance(part, list) else part for part in half)


def _seeds() -> Iterator[bytes]:
    for number in _SEEDS:
        told = _history(number)
        entries = [unpack(entry.encode()) for entry in told.entries]
        proofs = [
            [list(half.value()) for half in sorted(halves, key=lambda half: half.id)]
            for halves in told.proofs
        ]
        yield pack(entries + proofs)
        yield pack(entries[-4:] + proofs)


TARGETS: Final = (Target("replica", _replica, _seeds, size_max=16 * KIB, memory=(16 << 20, 2_000)),)
