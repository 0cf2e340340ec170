from __future__ import annotations

import base64
import contextlib
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from capability.bodies import (
    CAVEAT_GRANTS,
    CAVEAT_ISSUE_BEFORE,
    JOIN,
    MEMBER,
    Genesis,
    Grant,
    Scope,
)
from capability.entry import (
    KIND_GENESIS,
    KIND_GRANT,
    LANE_AUTHORITY,
    Entry,
    decode_entry,
    make_entry,
)
from capability.errors import SignatureRefused, TicketError
from capability.ids import DOMAIN_TICKET, ZERO_ID, digest, root_worknode
from capability.keys import SeedSigner
from capability.limits import NEVER_MS, TICKET_BYTES_MAX
from capability.ticket import (
    Ticket,
    decode_ticket,
    join_proof,
    verify_join_proof,
    verify_ticket,
)
from crdt.codec import encode
from tests.capability.strategies import anything

ROOT, INVITER, JOINER, STRANGER = (SeedSigner(bytes([at]) * 32) for at in range(1, 5))
SEED = bytes([3]) * 32


def founded(*roots: SeedSigner, m: int = 1, by: SeedSigner = ROOT) -> Entry:
    keys = tuple(sorted(root.public for root in roots))
    body = Genesis("garden", bytes(16), keys, m, ZERO_ID, ZERO_ID, 1, 0, ()).encode()
    return issued(by, ZERO_ID, body, kind=KIND_GENESIS, prev=ZERO_ID)


def issued(
    signer: SeedSigner,
    mesh: bytes,
    body: bytes,
    *,
    leaf: bytes = b"",
    kind: int = KIND_GRANT,
    prev: bytes = b"p" * 32,
) -> Entry:
    return make_entry(
        signer,
        mesh_id=mesh,
        lane=LANE_AUTHORITY,
        seq=1,
        prev=prev,
        hlc=9 << 16,
        kind=kind,
        leaf=leaf,
        body=body,
    )


def grant_to(audience: SeedSigner, mesh: bytes, **change: Any) -> bytes:
    scope = Scope(0, (), root_worknode(mesh))
    grant = Grant(audience.public, MEMBER, (scope,), 255, 8, 0, 90_000, (), "")
    return evolve(grant, **change).encode()


GENESIS = founded(ROOT)
MESH = GENESIS.id
LINK = issued(ROOT, MESH, grant_to(INVITER, MESH))
CAVEATS = ((CAVEAT_GRANTS, 2), (CAVEAT_ISSUE_BEFORE, 5_000))
JOIN_LINK = issued(INVITER, MESH, grant_to(JOINER, MESH, akind=JOIN, caveats=CAVEATS), leaf=LINK.id)


def ticket_of(*chain: Entry, **change: Any) -> Ticket:
    ticket = Ticket(
        mesh=MESH,
        inviter=INVITER.public,
        grant=chain[-1].id,
        seed=SEED,
        exp_ms=5_000,
        addresses=(("192.0.2.1", 7717), ("mesh.example", 1)),
        name="garden",
        chain=tuple(entry.encode() for entry in chain),
    )
    return evolve(ticket, **change)


TICKET = ticket_of(GENESIS, LINK, JOIN_LINK)
TEXT = TICKET.encode()


def text_of(value: Any) -> str:
    """A text with right check digits, whatever is inside."""
    data = encode(value)
    whole = data + digest(DOMAIN_TICKET, data, 4)
    return "wnjoin" + base64.b32encode(whole).decode().rstrip("=").lower()


def ticket_bytes(ticket: Ticket) -> bytes:
    """What the text spells, without the check bytes."""
    letters = ticket.encode().removeprefix("wnjoin").upper()
    return base64.b32decode(letters + "=" * (-len(letters) % 8))[:-4]


def test_a_ticket_is_read_as_it_was_written() -> None:
    assert decode_ticket(TEXT) == TICKET
    assert decode_ticket(ticket_of(GENESIS, LINK, JOIN_LINK, addresses=()).encode()).addresses == ()


def test_blanks_line_breaks_and_capitals_do_not_matter() -> None:
    wrapped = "\n  ".join(TEXT[at : at + 64] for at in range(0, len(TEXT), 64))
    assert decode_ticket(f"\t{wrapped.upper()}\r\n") == TICKET


def test_a_verified_ticket_says_what_its_chain_shows() -> None:
    facts = verify_ticket(TICKET)
    assert facts.entries == (GENESIS, LINK, JOIN_LINK)
    assert facts.genesis.name == "garden"
    assert facts.join_key == JOINER.public
    assert (facts.exp_ms, facts.uses) == (5_000, 2)


def test_a_root_invites_without_a_link_of_its_own() -> None:
    link = issued(ROOT, MESH, grant_to(JOINER, MESH, akind=JOIN))
    ticket = decode_ticket(ticket_of(GENESIS, link, inviter=ROOT.public).encode())
    facts = verify_ticket(ticket)
    assert (facts.exp_ms, facts.uses) == (90_000, None)


def test_a_bound_of_nothing_is_a_bound() -> None:
    caveats = ((CAVEAT_GRANTS, 0), (CAVEAT_ISSUE_BEFORE, 0))
    link = issued(ROOT, MESH, grant_to(JOINER, MESH, akind=JOIN, caveats=caveats))
    facts = verify_ticket(ticket_of(GENESIS, link, inviter=ROOT.public))
    assert (facts.exp_ms, facts.uses) == (0, 0)


def test_a_ticket_as_long_as_may_be_is_read_with_as_many_blanks() -> None:
    ticket = evolve(TICKET, chain=(b"", bytes(TICKET_BYTES_MAX - 1_000)))
    fill = TICKET_BYTES_MAX - len(ticket_bytes(ticket))
    ticket = evolve(ticket, chain=(b"", bytes(TICKET_BYTES_MAX - 1_000 + fill)))
    assert len(ticket_bytes(ticket)) == TICKET_BYTES_MAX
    words = ticket.encode()
    assert decode_ticket(words + " " * len(words)) == ticket
    with pytest.raises(TicketError, match="too long"):
        decode_ticket(words + " " * (len(words) + 1))
    with pytest.raises(TicketError, match="would have"):
        evolve(ticket, chain=(b"", ticket.chain[1] + b"x")).encode()


@given(st.integers(6, len(TEXT) - 1), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_one_wrong_letter_is_noticed(at: int, letter: str) -> None:
    if TEXT[at] != letter:
        with pytest.raises(TicketError, match="mistyped"):
            decode_ticket(TEXT[:at] + letter + TEXT[at + 1 :])


@given(st.integers(0, len(TEXT) - 1))
def test_a_ticket_cut_short_is_noticed(length: int) -> None:
    with pytest.raises(TicketError):
        decode_ticket(TEXT[:length])


def test_the_unused_bits_of_the_last_letter_are_checked() -> None:
    for addresses in ((), (("a", 1),), (("ab", 1),), (("abc", 1),), (("abcd", 1),)):
        words = evolve(TICKET, addresses=addresses).encode()
        read = 0
        for letter in "abcdefghijklmnopqrstuvwxyz234567":
            with contextlib.suppress(TicketError):
                decode_ticket(words[:-1] + letter)
                read += 1
        assert read == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "the ticket is empty; paste the whole text"),
        (" \n", "the ticket is empty"),
        ("hello", "does not begin with wnjoin"),
        ("wnjoin", "mistyped or cut short"),
        ("wnjoinabc1", "'1' at character 10 never occurs"),
        ("wnjoina", "cut short or has a letter too many"),
        ("wnjoin" + "a" * 30_000, "too long: 30006 characters"),
        ("wnjoin" + " " * 100_000, "too long"),
        (text_of((2, "whatever")), "of version 2, this program reads version 1"),
        (text_of((1, "whatever")), "not in order"),
        (text_of("whatever"), "its inside is not"),
        (text_of(((((1,),),),)), "its inside is not"),
    ],
)
def test_what_is_wrong_is_said_with_a_remedy(words: str, says: str) -> None:
    with pytest.raises(TicketError) as caught:
        decode_ticket(words)
    assert says in str(caught.value)
    assert ";" in str(caught.value)


@given(st.text(max_size=60) | anything.map(text_of))
def test_any_text_raises_nothing_but_ticket_errors(words: str) -> None:
    for text in (words, "wnjoin" + words):
        with contextlib.suppress(TicketError):
            decode_ticket(text)


@given(st.lists(anything, min_size=8, max_size=8))
def test_any_inside_raises_nothing_but_ticket_errors(fields: list[Any]) -> None:
    with contextlib.suppress(TicketError):
        decode_ticket(text_of((1, *fields)))


@pytest.mark.parametrize(
    "change",
    [
        {"mesh": b""},
        {"seed": bytes(31)},
        {"exp_ms": -1},
        {"exp_ms": NEVER_MS + 1},
        {"addresses": (("h" * 254, 1),)},
        {"addresses": (("h", 0),)},
        {"addresses": (("h", 65_536),)},
        {"addresses": (("h", 1),) * 17},
        {"name": "x" * 65},
        {"chain": (b"",)},
        {"chain": (b"",) * 10},
        {"chain": (b"", bytes(TICKET_BYTES_MAX))},
    ],
)
def test_a_ticket_out_of_bounds_is_not_written(change: dict[str, Any]) -> None:
    with pytest.raises(TicketError):
        evolve(TICKET, **change).encode()


def test_neither_repr_nor_errors_show_the_seed() -> None:
    assert SEED.hex() not in repr(TICKET)
    assert repr(SEED) not in repr(TICKET)
    secret = b"secret seed: of a wrong size"
    with pytest.raises(TicketError, match=r"\(seed\)") as caught:
        evolve(TICKET, seed=secret).encode()
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_chain_of_another_mesh_is_refused() -> None:
    other = founded(STRANGER, by=STRANGER)
    with pytest.raises(TicketError, match="genesis"):
        verify_ticket(ticket_of(other, LINK, JOIN_LINK))
    # With the mesh id changed too, the links are not signed for that mesh.
    both = founded(ROOT, STRANGER)
    with pytest.raises(SignatureRefused):
        verify_ticket(ticket_of(both, LINK, JOIN_LINK, mesh=both.id))


def test_an_entry_of_another_kind_begins_no_mesh() -> None:
    """Even where its body reads as a genesis and its id is the mesh that it is signed for."""
    body = GENESIS.body
    first = issued(ROOT, ZERO_ID, body, prev=ZERO_ID)
    first = issued(ROOT, first.id, body, prev=ZERO_ID)
    link = issued(ROOT, first.id, grant_to(JOINER, first.id, akind=JOIN))
    with pytest.raises(TicketError, match="genesis"):
        verify_ticket(ticket_of(first, link, mesh=first.id, inviter=ROOT.public))


def test_signatures_are_checked_by_whoever_is_named() -> None:
    unsigned = [evolve(entry, signature=bytes(64)) for entry in (GENESIS, LINK, JOIN_LINK)]
    seen = []

    def accept(public: bytes, data: bytes, signature: bytes) -> bool:
        seen.append(public)
        return True

    verify_ticket(ticket_of(*unsigned), by=accept)
    assert seen == [ROOT.public, ROOT.public, INVITER.public]
    with pytest.raises(SignatureRefused):
        verify_ticket(TICKET, by=lambda *_: False)


def test_a_mesh_founded_by_no_root_of_its_own_is_refused() -> None:
    odd = founded(STRANGER, by=ROOT)
    link = issued(STRANGER, odd.id, grant_to(JOINER, odd.id, akind=JOIN))
    with pytest.raises(TicketError, match="root keys"):
        verify_ticket(ticket_of(odd, link, mesh=odd.id, inviter=STRANGER.public))


def test_a_mesh_of_several_signing_roots_asks_for_an_upgrade() -> None:
    joint = founded(ROOT, STRANGER, m=2)
    link = issued(ROOT, joint.id, grant_to(JOINER, joint.id, akind=JOIN))
    with pytest.raises(TicketError, match="2 root keys"):
        verify_ticket(ticket_of(joint, link, mesh=joint.id, inviter=ROOT.public))


def test_a_chain_with_a_gap_is_refused() -> None:
    by_stranger = issued(STRANGER, MESH, grant_to(JOINER, MESH, akind=JOIN), leaf=LINK.id)
    no_leaf = issued(INVITER, MESH, grant_to(JOINER, MESH, akind=JOIN))
    by_no_root = issued(STRANGER, MESH, grant_to(INVITER, MESH))
    for chain in (
        (GENESIS, JOIN_LINK),
        (GENESIS, LINK, by_stranger),
        (GENESIS, LINK, no_leaf),
        (GENESIS, by_no_root, JOIN_LINK),
        (GENESIS, LINK, LINK, JOIN_LINK),
    ):
        with pytest.raises(TicketError, match="gap"):
            verify_ticket(ticket_of(*chain))


def test_a_link_that_its_author_did_not_sign_is_refused() -> None:
    forged = evolve(LINK, signature=bytes(64))
    with pytest.raises(SignatureRefused):
        verify_ticket(ticket_of(GENESIS, forged, JOIN_LINK))


def test_a_chain_that_ends_elsewhere_is_refused() -> None:
    with pytest.raises(TicketError, match="inviter"):
        verify_ticket(ticket_of(GENESIS, LINK, JOIN_LINK, grant=LINK.id))
    with pytest.raises(TicketError, match="inviter"):
        verify_ticket(ticket_of(GENESIS, LINK, JOIN_LINK, inviter=ROOT.public))
    with pytest.raises(TicketError, match="not for the key"):
        verify_ticket(ticket_of(GENESIS, LINK, JOIN_LINK, seed=bytes(32)))
    as_member = issued(INVITER, MESH, grant_to(JOINER, MESH), leaf=LINK.id)
    with pytest.raises(TicketError, match="not for the key"):
        verify_ticket(ticket_of(GENESIS, LINK, as_member))


@given(st.integers(0, 2), st.data())
def test_a_damaged_chain_raises_only_refusals(number: int, data: st.DataObject) -> None:
    chain = list(TICKET.chain)
    at = data.draw(st.integers(0, len(chain[number]) * 8 - 1))
    raw = bytearray(chain[number])
    raw[at // 8] ^= 1 << at % 8
    chain[number] = bytes(raw)
    with pytest.raises((TicketError, SignatureRefused)):
        verify_ticket(evolve(TICKET, chain=tuple(chain)))


def test_a_join_proof_holds_for_one_channel_node_mesh_and_key() -> None:
    where = {"mesh_id": MESH, "handshake_hash": b"h" * 32, "node_key": b"k" * 32}
    proof = join_proof(TICKET.signer(), **where)
    verify_join_proof(JOINER.public, proof, **where)
    for name in where:
        with pytest.raises(SignatureRefused, match="holds the ticket"):
            verify_join_proof(JOINER.public, proof, **{**where, name: b"x" * 32})
    with pytest.raises(SignatureRefused):
        verify_join_proof(INVITER.public, proof, **where)
    for bad in (b"", bytes(64), proof[:-1]):
        with pytest.raises(SignatureRefused):
            verify_join_proof(JOINER.public, bad, **where)


def test_the_chain_is_read_back_as_entries() -> None:
    assert decode_entry(decode_ticket(TEXT).chain[2]) == JOIN_LINK
