"""
The ticket: one pasteable word that admits a new node to a mesh, and the proof that it is held.

    text    "wnjoin" ‖ base32 (lower case, no padding) of value ‖ 4 check bytes
    value   [1, mesh, inviter, grant, seed, exp_ms, [[host, port]…], name, [entry…]]

A ticket is a bearer secret: whoever has the seed may issue what the join grant allows. It carries
the chain from the genesis to that grant, so that any member can admit the bearer, even one that
has not heard of the grant. Nothing in it is believed before `verify_ticket` has checked it.

No message and no repr here shows the seed.

Source: docs/formats.md §Ticket.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from attrs import field, frozen

from capability.bodies import (
    CAVEAT_GRANTS,
    CAVEAT_ISSUE_BEFORE,
    JOIN,
    Genesis,
    Grant,
    decode_genesis,
    decode_grant,
)
from capability.entry import KIND_GENESIS, KIND_GRANT, Entry, decode_entry, verify_entry
from capability.errors import FormError, SignatureRefused, TicketError
from capability.form import Value, array, binary, fixed, record, text, unsigned
from capability.ids import DOMAIN_JOIN, DOMAIN_TICKET, ID_BYTES, ZERO_ID, digest
from capability.keys import PUBLIC_BYTES, SEED_BYTES, SeedSigner, Signer, Verify, verify
from capability.limits import (
    HOST_BYTES_MAX,
    LABEL_BYTES_MAX,
    NEVER_MS,
    TICKET_ADDRESSES_MAX,
    TICKET_BYTES_MAX,
    TICKET_CHAIN_MAX,
)
from crdt.codec import decode, encode
from crdt.errors import CodecError

__all__ = [
    "TICKET_PREFIX",
    "Ticket",
    "TicketFacts",
    "decode_ticket",
    "join_proof",
    "verify_join_proof",
    "verify_ticket",
]

TICKET_PREFIX: Final = "wnjoin"
_VERSION: Final = 1
_CHECK_BYTES: Final = 4
_HANDSHAKE_HASH_BYTES: Final = 32
_TEXT_MAX: Final = len(TICKET_PREFIX) + (8 * (TICKET_BYTES_MAX + _CHECK_BYTES) + 4) // 5
_FOREIGN: Final = re.compile(r"[^a-z2-7]")
_AGAIN: Final = "paste the whole text that `mesh invite` printed"
_ANEW: Final = "ask whoever invited you for a new one"


@frozen
class Ticket:
    """
    What an invitation hands over.

    `exp_ms` and `addresses` are hints that nothing signs; what binds is in the join *grant*.
    *chain* are encoded entries: genesis, the links of the *inviter*, the join grant.
    """

    mesh: bytes
    inviter: bytes
    grant: bytes
    seed: bytes = field(repr=False)
    exp_ms: int
    addresses: tuple[tuple[str, int], ...]
    name: str
    chain: tuple[bytes, ...] = field(repr=False)

    def encode(self) -> str:
        """The text to hand over. Raises TicketError if a field is out of its bounds."""
        value = (
            _VERSION,
            self.mesh,
            self.inviter,
            self.grant,
            self.seed,
            self.exp_ms,
            self.addresses,
            self.name,
            self.chain,
        )
        _ticket(value)
        data = encode(value)
        if len(data) > TICKET_BYTES_MAX:
            raise TicketError(
                f"the ticket would have {len(data)} bytes, at most {TICKET_BYTES_MAX}; "
                "invite from a member nearer to the root, or with fewer scopes"
            )
        coded = base64.b32encode(data + digest(DOMAIN_TICKET, data, _CHECK_BYTES))
        return TICKET_PREFIX + coded.decode().rstrip("=").lower()

    def signer(self) -> SeedSigner:
        """The join key, which signs the new member's grant and the join proof."""
        return SeedSigner(self.seed)


def decode_ticket(words: str) -> Ticket:
    """
    Read a ticket; blanks, line breaks and capitals do not matter. Nothing is verified yet.

    Raises:
        TicketError: What is wrong with the text, and what to do.
    """
    data = _data(_letters(words))
    try:
        value = decode(data, size_max=TICKET_BYTES_MAX, depth_max=3)
    except CodecError:
        raise TicketError(
            f"the ticket's check digits are right, its inside is not; {_ANEW}"
        ) from None
    if not isinstance(value, tuple) or not value or type(value[0]) is not int:
        raise TicketError(f"the ticket's check digits are right, its inside is not; {_ANEW}")
    if value[0] != _VERSION:
        raise TicketError(
            f"the ticket is of version {value[0]}, this program reads version {_VERSION}; "
            "upgrade the older of the two programs"
        )
    return _ticket(value)


def _letters(words: str) -> str:
    if len(words) > 2 * _TEXT_MAX:
        raise TicketError(f"the ticket is too long: {len(words)} characters; {_AGAIN} and no more")
    letters = "".join(words.split()).lower()
    if not letters:
        raise TicketError(f"the ticket is empty; {_AGAIN}")
    if not letters.startswith(TICKET_PREFIX):
        raise TicketError(f"this is no ticket, since it does not begin with wnjoin; {_AGAIN}")
    if len(letters) > _TEXT_MAX:
        raise TicketError(
            f"the ticket is too long: {len(letters)} characters; {_AGAIN} and no more"
        )
    foreign = _FOREIGN.search(letters)
    if foreign is not None:
        raise TicketError(
            f"the ticket is mistyped: {foreign[0]!r} at character {foreign.start() + 1} never "
            f"occurs in one (only a to z and 2 to 7); {_AGAIN}"
        )
    return letters[len(TICKET_PREFIX) :]


def _data(letters: str) -> bytes:
    try:
        whole = base64.b32decode(letters.upper() + "=" * (-len(letters) % 8))
    except binascii.Error:
        raise TicketError(f"the ticket is cut short or has a letter too many; {_AGAIN}") from None
    data, check = whole[:-_CHECK_BYTES], whole[-_CHECK_BYTES:]
    # base32 leaves up to four bits over; a last letter that differs in them is mistyped, too.
    spelled = base64.b32encode(whole).decode().rstrip("=").lower()
    if spelled != letters or check != digest(DOMAIN_TICKET, data, _CHECK_BYTES):
        raise TicketError(f"the ticket is mistyped or cut short: its check digits differ; {_AGAIN}")
    return data


def _ticket(value: tuple[Value, ...]) -> Ticket:
    try:
        return _fields(value)
    except FormError as error:
        # The part after the colon may show the seed, and so may the traceback's first half.
        what = str(error).split(":", 1)[0]
        raise TicketError(f"the ticket's inside is not in order ({what}); {_ANEW}") from None


def _fields(value: tuple[Value, ...]) -> Ticket:
    _, mesh, inviter, grant, seed, exp_ms, addresses, name, chain = record(value, 9, "ticket")
    pairs = [
        record(pair, 2, "address")
        for pair in array(addresses, "addresses", most=TICKET_ADDRESSES_MAX)
    ]
    return Ticket(
        mesh=fixed(mesh, ID_BYTES, "mesh id"),
        inviter=fixed(inviter, PUBLIC_BYTES, "inviter"),
        grant=fixed(grant, ID_BYTES, "grant"),
        seed=fixed(seed, SEED_BYTES, "seed"),
        exp_ms=unsigned(exp_ms, "expiry", most=NEVER_MS),
        addresses=tuple(
            (text(host, "host", most=HOST_BYTES_MAX), unsigned(port, "port", least=1, most=65535))
            for host, port in pairs
        ),
        name=text(name, "name", most=LABEL_BYTES_MAX),
        chain=tuple(
            binary(entry, "chain", most=TICKET_BYTES_MAX)
            for entry in array(chain, "chain", least=2, most=TICKET_CHAIN_MAX)
        ),
    )


@frozen
class TicketFacts:
    """
    What a verified ticket shows to be true, as far as its own bytes can: who issued what.

    Whether a link has been revoked, or widens its parent, is for the ledger of whoever admits.

    Attributes:
        entries: The chain, decoded: genesis, links, join grant.
        exp_ms: No member's grant may be issued at or after this instant.
        uses: How many members the join key may admit; None if the grant does not say.
    """

    genesis: Genesis
    entries: tuple[Entry, ...]
    grant: Grant
    join_key: bytes
    exp_ms: int
    uses: int | None


def verify_ticket(ticket: Ticket, *, by: Verify = verify) -> TicketFacts:
    """
    Check that the ticket's chain leads from its mesh's genesis to a join grant for its seed.

    Cost: 55 µs for each entry.

    Raises:
        TicketError: The chain is of another mesh, has a gap, or does not end at this seed.
        SignatureRefused: An entry of the chain is not signed by its author.
    """
    try:
        entries = tuple(decode_entry(data) for data in ticket.chain)
        genesis = _check_genesis(ticket, entries[0], by)
        grants = [decode_grant(entry.body) for entry in entries[1:]]
    except FormError:
        raise TicketError(f"the ticket's chain is damaged; {_ANEW}") from None
    _check_links(ticket, entries, grants, genesis, by)
    grant = grants[-1]
    before = _unsigned_or_none(grant.caveat(CAVEAT_ISSUE_BEFORE))
    return TicketFacts(
        genesis=genesis,
        entries=entries,
        grant=grant,
        join_key=grant.audience,
        exp_ms=min(grant.exp_ms, NEVER_MS if before is None else before),
        uses=_unsigned_or_none(grant.caveat(CAVEAT_GRANTS)),
    )


def _check_genesis(ticket: Ticket, first: Entry, by: Verify) -> Genesis:
    header = first.header
    in_place = header.seq == 1 and header.prev == ZERO_ID and header.leaf == b""
    if header.kind != KIND_GENESIS or not in_place or first.id != ticket.mesh:
        raise TicketError(f"the ticket's chain does not begin with its mesh's genesis; {_ANEW}")
    verify_entry(first, ticket.mesh, by=by)
    genesis = decode_genesis(first.body)
    if header.author not in genesis.roots:
        raise TicketError(f"the ticket's mesh was not made by one of its root keys; {_ANEW}")
    if genesis.m > 1:
        raise TicketError(
            f"the ticket's mesh asks {genesis.m} root keys to sign together, which this version "
            "does not do; upgrade"
        )
    return genesis


def _check_links(
    ticket: Ticket,
    entries: tuple[Entry, ...],
    grants: list[Grant],
    genesis: Genesis,
    by: Verify,
) -> None:
    leaf, authors = b"", genesis.roots
    for entry, grant in zip(entries[1:], grants, strict=True):
        header = entry.header
        if header.kind != KIND_GRANT or header.leaf != leaf or header.author not in authors:
            raise TicketError(f"the ticket's chain has a gap; {_ANEW}")
        verify_entry(entry, ticket.mesh, by=by)
        leaf, authors = entry.id, (grant.audience,)
    last = entries[-1]
    if last.id != ticket.grant or last.header.author != ticket.inviter:
        raise TicketError(f"the ticket's chain does not end at its inviter's grant; {_ANEW}")
    if grants[-1].akind != JOIN or grants[-1].audience != ticket.signer().public:
        raise TicketError(f"the ticket's grant is not for the key that it carries; {_ANEW}")


def _unsigned_or_none(value: Value) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _proof(mesh_id: bytes, handshake_hash: bytes, node_key: bytes) -> bytes:
    # All three have one size each, so that no two triples give the same bytes.
    assert len(mesh_id) == ID_BYTES
    assert len(handshake_hash) == _HANDSHAKE_HASH_BYTES
    assert len(node_key) == PUBLIC_BYTES
    return DOMAIN_JOIN + mesh_id + handshake_hash + node_key


def join_proof(signer: Signer, *, mesh_id: bytes, handshake_hash: bytes, node_key: bytes) -> bytes:
    """The join key's signature that *node_key*, on this very channel, holds the ticket."""
    return signer.sign(_proof(mesh_id, handshake_hash, node_key))


def verify_join_proof(
    join_key: bytes,
    signature: bytes,
    *,
    mesh_id: bytes,
    handshake_hash: bytes,
    node_key: bytes,
    by: Verify = verify,
) -> None:
    """Raise SignatureRefused unless *signature* is the join key's proof for this channel."""
    if not by(join_key, _proof(mesh_id, handshake_hash, node_key), signature):
        raise SignatureRefused(
            f"the node {node_key.hex()[:8]} does not show that it holds the ticket of "
            f"{join_key.hex()[:8]}"
        )
