"""Lies of a speaker who keeps the form: silence, promises of what it has not, others' roots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve

from capability.entry import KIND_DATA, LANE_DATA, Header, SignedHeader
from capability.frontier import FrontierRow
from capability.ids import ID_BYTES, ZERO_ID, entry_id
from capability.keys import PUBLIC_BYTES, SIGNATURE_BYTES
from mesh.core.errors import ProtocolViolation
from mesh.core.limits import MESSAGE_BYTES_MAX
from mesh.gossip.messages import Goodbye, Have, Held, Hello, Message, Roots, RootsReply, Rows
from mesh.wire import Unknown, encode_message

if TYPE_CHECKING:
    from simulations.byzantine import Liar

#: Entries that a row promises beyond what there is.
PROMISED_MAX: Final = 1_000
#: One hello in so many states a head that the listener has never signed: the link ends by it.
INVENTS_ONE_IN: Final = 3
_NUMBERS: Final = 1 << 32


def _read(liar: Liar, data: bytes) -> Message | Unknown | None:
    """A message; None for what is none, as another liar may have sent."""
    try:
        return liar.world.reading.message(data, size_max=MESSAGE_BYTES_MAX)
    except ProtocolViolation:
        return None


def withhold(liar: Liar) -> None:
    """It comes in, takes everything, and says nothing more."""

    def outlet(_link: int, data: bytes) -> bytes | None:
        if isinstance(_read(liar, data), Hello | Goodbye):
            return data
        liar.world.watch.befell("withholds")
        return None

    liar.outlets["withholds"] = outlet


def twist(liar: Liar) -> None:
    """It answers each comparison with the asker's own roots, and states heads nobody signed."""

    def outlet(link: int, data: bytes) -> bytes | None:
        message = _read(liar, data)
        if isinstance(message, RootsReply):
            return encode_message(_echo(liar, link, message))
        if isinstance(message, Hello) and liar.random.randrange(INVENTS_ONE_IN) == 0:
            heads = (None, _invented(liar))
            return encode_message(evolve(message, your_heads=heads))
        return data

    liar.outlets["lies"] = outlet


def _echo(liar: Liar, link: int, reply: RootsReply) -> RootsReply:
    for heard_on, data in reversed(liar.heard):
        asked = _read(liar, data) if heard_on == link and len(data) < _ROOTS_BYTES_MAX else None
        if isinstance(asked, Roots) and asked.nonce == reply.nonce:
            return RootsReply(asked.auth_root, asked.data_root, asked.nonce, True)
    return reply


def _invented(liar: Liar) -> SignedHeader:
    draw = liar.random.randbytes
    author, seq = liar.victim().signer.public, liar.random.randint(2, PROMISED_MAX)
    header = Header(
        author, LANE_DATA, seq, draw(ID_BYTES), liar.stamp(None), KIND_DATA, b"", 0, ZERO_ID
    )
    data = header.encode()
    return SignedHeader(entry_id(data), header, data, draw(SIGNATURE_BYTES))


def lie(liar: Liar) -> None:
    """It promises of everybody's logs more than there is, of nobody's too, and has none of it."""
    world, random = liar.world, liar.random
    for end in liar.ends:
        authors = sorted({host.signer.public for host in world.hosts})
        authors = sorted([*authors, random.randbytes(PUBLIC_BYTES)])
        seqs = [random.randint(1, PROMISED_MAX) for _ in authors]
        rows = tuple(
            FrontierRow(author, LANE_DATA, seq, random.randbytes(ID_BYTES), b"")
            for author, seq in zip(authors, seqs, strict=True)
        )
        liar.say(end, Rows(random.randrange(_NUMBERS), b"", 0, True, rows))
        held = tuple(Held(n, LANE_DATA, seq, 1) for n, seq in enumerate(seqs))
        liar.say(end, Have(0, tuple(authors), held))
        victim = liar.victim()
        if victim.is_up:
            auth_root, data_root = victim.running.replica.port.roots()
            liar.say(end, Roots(auth_root, data_root, random.randrange(_NUMBERS)))


#: A `Roots` is two roots and a number.
_ROOTS_BYTES_MAX: Final = 96
