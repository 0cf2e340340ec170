"""Too much of what is old, too much of anything, and what is no message at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from capability.entry import LANE_DATA
from capability.frontier import FrontierRow
from capability.ids import ID_BYTES
from capability.keys import PUBLIC_BYTES
from crdt.codec import Value, encode
from mesh.gossip.messages import (
    Get,
    GetById,
    GetHeaders,
    Graft,
    Have,
    Held,
    Message,
    Missed,
    Push,
    Range,
    Roots,
    Rows,
)
from mesh.wire import TAGS

if TYPE_CHECKING:
    from simulations.byzantine import Liar

#: Messages that are said again on each link in a round, and old entries in one push.
REPLAYED: Final = 4
OLD_ENTRIES: Final = 32
#: How often a flood says each kind of message on each link in a round.
WAVES: Final = 2
#: Rows, lanes, ids of one message of a flood.
FLOOD_ROWS: Final = 128
#: Bytes that each question of a flood asks for.
FLOOD_BUDGET: Final = 64 * 1024
#: Bytes of one piece of noise.
NOISE_BYTES_MAX: Final = 2_000
_NUMBERS: Final = 1 << 32


def _old(liar: Liar) -> Push:
    entries = [stored.entry.encode() for stored in liar.host.disk.store.entries()]
    begin = liar.random.randrange(len(entries))
    return Push(tuple(entries[begin : begin + OLD_ENTRIES]))


def replay(liar: Liar) -> None:
    """Entries that all have, and messages as it heard them, to whoever is there."""
    for end in liar.ends:
        liar.say(end, _old(liar))
        for _ in range(min(REPLAYED, len(liar.heard))):
            liar.say(end, liar.heard[liar.random.randrange(len(liar.heard))][1])


def _rows(liar: Liar) -> Rows:
    draw = liar.random.randbytes
    authors = sorted(draw(PUBLIC_BYTES) for _ in range(FLOOD_ROWS))
    rows = tuple(
        FrontierRow(author, LANE_DATA, liar.random.randint(1, 1_000), draw(ID_BYTES), b"")
        for author in authors
    )
    return Rows(liar.random.randrange(_NUMBERS), b"", 0, True, rows)


def _haves(liar: Liar) -> Have:
    authors = tuple(liar.random.randbytes(PUBLIC_BYTES) for _ in range(FLOOD_ROWS))
    held = tuple(Held(n, LANE_DATA, liar.random.randint(1, 1_000), 1) for n in range(FLOOD_ROWS))
    return Have(0, authors, held)


def _known(liar: Liar) -> list[bytes]:
    return sorted(host.signer.public for host in liar.world.hosts)


def _graft(liar: Liar) -> Graft:
    return Graft(tuple(Missed(author, LANE_DATA, 0) for author in dict.fromkeys(_known(liar))))


def _get(liar: Liar) -> Get:
    ranges = tuple(Range(author, LANE_DATA, 1, 1_000) for author in dict.fromkeys(_known(liar)))
    return Get(liar.random.randrange(_NUMBERS), ranges, FLOOD_BUDGET)


def _get_by_id(liar: Liar) -> GetById:
    ids = tuple(liar.random.randbytes(ID_BYTES) for _ in range(FLOOD_ROWS))
    return GetById(liar.random.randrange(_NUMBERS), ids)


def _get_headers(liar: Liar) -> GetHeaders:
    author = liar.random.choice(_known(liar))
    return GetHeaders(liar.random.randrange(_NUMBERS), author, LANE_DATA, tuple(range(1, 17)))


def _roots(liar: Liar) -> Roots:
    draw = liar.random.randbytes
    return Roots(draw(ID_BYTES), draw(ID_BYTES), liar.random.randrange(_NUMBERS))


_FLOOD: Final[tuple[Callable[[Liar], Message], ...]] = (
    _old,
    _rows,
    _haves,
    _graft,
    _get,
    _get_by_id,
    _get_headers,
    _roots,
)


def flood(liar: Liar) -> None:
    """Everything that costs the listener more than the speaker, on all links."""
    for end in liar.ends:
        for _ in range(WAVES):
            for make in _FLOOD:
                liar.say(end, make(liar))


# -- garbage -----------------------------------------------------------------------------------


def _value(liar: Liar) -> Value:
    random = liar.random
    kinds: tuple[Value, ...] = (
        None,
        random.random() < 0.5,
        random.randrange(-_NUMBERS, _NUMBERS),
        random.randbytes(random.choice((0, 16, 32, 64))),
        "x" * random.randrange(80),
        tuple(random.randbytes(32) for _ in range(random.randrange(4))),
    )
    return random.choice(kinds)


def _misshapen(liar: Liar) -> bytes:
    """A known tag with fields of any kind."""
    tag = liar.random.choice(sorted(TAGS.values()))
    return encode((tag, *(_value(liar) for _ in range(liar.random.randrange(6)))))


def _noise(liar: Liar) -> bytes:
    return liar.random.randbytes(liar.random.randint(1, NOISE_BYTES_MAX))


def _damaged(liar: Liar) -> bytes:
    """Something that it was sent, with one byte changed or its end missing."""
    if not liar.heard:
        return _noise(liar)
    data = bytearray(liar.heard[liar.random.randrange(len(liar.heard))][1])
    at = liar.random.randrange(len(data))
    if liar.random.random() < 0.5:
        return bytes(data[:at])
    data[at] ^= 1 << liar.random.randrange(8)
    return bytes(data)


def babble(liar: Liar) -> None:
    """One thing that is no message on one link."""
    ends = liar.ends
    if ends:
        make = liar.random.choice((_misshapen, _noise, _damaged))
        liar.say(liar.random.choice(ends), make(liar))
