"""The table of peer messages: frozen bytes by an independent encoder, and every wrong form."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capability.entry import KIND_DATA, KIND_GRANT, SignedHeader, make_entry
from capability.frontier import FrontierRow
from capability.keys import SeedSigner
from crdt.codec import encode
from mesh.core.errors import ProtocolViolation
from mesh.gossip import limits
from mesh.gossip import messages as m
from mesh.wire import TAGS, Unknown, decode_message, encode_message
from tests.vectors.naive import pack

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "wire.json"
SIZE_MAX = 1 << 20
MESH = b"M" * 32
ALICE = SeedSigner(b"a" * 32)


def header(seq: int, body: bytes = b"", lane: int = 1) -> SignedHeader:
    return make_entry(
        ALICE,
        mesh_id=MESH,
        lane=lane,
        seq=seq,
        prev=b"p" * 32,
        hlc=1_000 + seq,
        kind=KIND_DATA if lane else KIND_GRANT,
        leaf=b"",
        body=body,
    ).signed_header


def pair(signed: SignedHeader) -> list[object]:
    return [signed.header_bytes, signed.signature]


A, B = b"\x01" * 32, b"\x02" * 32
ONE, TWO = sorted((header(4, b"x"), header(4, b"y")), key=lambda signed: signed.id)
HEADS = (header(7, lane=0), header(9))
ROW = FrontierRow(author=A, lane=1, seq=3, head=B, proof=b"")
FORKED = FrontierRow(author=B, lane=1, seq=70_000, head=A, proof=B)

#: name → (message, the same by hand)
CASES: dict[str, tuple[m.Message, list[object]]] = {
    "hello": (
        m.Hello(
            proto_min=1,
            proto_max=2,
            features=5,
            software="mesh/0.1",
            rules=1,
            auth_root=A,
            data_root=B,
            your_heads=(None, HEADS[1]),
            addresses=(("10.0.0.7", 7001), ("fe80::1", 7001)),
            region="eu",
            wall_ms=1_700_000_000_000,
            join=None,
            ext=((1, "alice"), (9, (1, b"z"))),
        ),
        [
            1,
            1,
            2,
            5,
            "mesh/0.1",
            1,
            A,
            B,
            [None, pair(HEADS[1])],
            [["10.0.0.7", 7001], ["fe80::1", 7001]],
            "eu",
            1_700_000_000_000,
            None,
            [[1, "alice"], [9, [1, b"z"]]],
        ],
    ),
    "hello_join": (
        m.Hello(
            proto_min=1,
            proto_max=1,
            features=0,
            software="",
            rules=1,
            auth_root=A,
            data_root=A,
            your_heads=(HEADS[0], None),
            addresses=(),
            region="",
            wall_ms=0,
            join=m.Join((b"genesis", b"grant"), b"s" * 64),
        ),
        [
            1,
            1,
            1,
            0,
            "",
            1,
            A,
            A,
            [pair(HEADS[0]), None],
            [],
            "",
            0,
            [[b"genesis", b"grant"], b"s" * 64],
            [],
        ],
    ),
    "goodbye": (m.Goodbye(6, "bye"), [2, 6, "bye"]),
    "roots": (m.Roots(A, B, 300), [3, A, B, 300]),
    "roots_reply": (m.RootsReply(B, A, 300, False), [4, B, A, 300, False]),
    "rows_full": (
        m.Rows(2, b"", 0, True, (ROW, FORKED)),
        [5, 2, b"", 0, True, [[1, A, 3, B, b""], [1, B, 70_000, A, B]]],
    ),
    "rows_base": (m.Rows(3, A, 1, False, ()), [5, 3, A, 1, False, []]),
    "need_full": (m.NeedFull(3), [6, 3]),
    "get": (
        m.Get(8, (m.Range(A, 0, 1, 4), m.Range(B, 1, 9, 9)), 262_144),
        [7, 8, [[A, 0, 1, 4], [B, 1, 9, 9]], 262_144],
    ),
    "entries": (m.Entries(8, (b"one", b"two"), True), [8, 8, [b"one", b"two"], True]),
    "get_by_id": (m.GetById(1, (B, A)), [9, 1, [B, A]]),
    "get_headers": (m.GetHeaders(4, A, 1, (1, 17, 300)), [10, 4, A, 1, [1, 17, 300]]),
    "headers": (m.Headers(4, A, 1, (None, ONE)), [11, 4, A, 1, [None, pair(ONE)]]),
    "fork_proof": (m.ForkProof(ONE, TWO), [12, pair(ONE), pair(TWO)]),
    "push": (m.Push((b"entry",)), [13, [b"entry"]]),
    "push_relayed": (m.Push((b"one", b"two"), 3), [13, [b"one", b"two"], 3]),
    "have": (m.Have(0, (), (m.Held(3, 1, 70_000, 2),)), [14, 0, [], [7, 70_000, 2]]),
    "have_named": (
        m.Have(5, (B, A), (m.Held(0, 0, 1, 0), m.Held(0, 1, 9, 255), m.Held(6, 0, 300, 1))),
        [14, 5, [B, A], [0, 1, 0, 1, 9, 255, 12, 300, 1]],
    ),
    "graft": (
        m.Graft((m.Missed(A, 0, 0), m.Missed(A, 1, 300), m.Missed(B, 0, 7))),
        [16, [[A, 0, 0], [A, 1, 300], [B, 0, 7]]],
    ),
    "prune": (m.Prune((A, B)), [17, [A, B], False]),
    "prune_rest": (m.Prune((), rest=True), [17, [], True]),
    "peers": (
        m.Peers((m.Told(A, ()), m.Told(B, (("10.0.0.1", 7340),)))),
        [15, [[A, []], [B, [["10.0.0.1", 7340]]]]],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bytes_are_those_of_the_independent_encoder(name: str) -> None:
    message, by_hand = CASES[name]
    assert encode_message(message) == pack(by_hand)


@pytest.mark.parametrize("name", CASES)
def test_bytes_are_frozen(name: str) -> None:
    frozen = json.loads(VECTORS.read_text(encoding="utf-8"))["messages"]
    assert set(frozen) == set(CASES)
    assert encode_message(CASES[name][0]).hex() == frozen[name]


@pytest.mark.parametrize("name", CASES)
def test_a_message_survives_its_bytes(name: str) -> None:
    message = CASES[name][0]
    assert decode_message(encode_message(message), size_max=SIZE_MAX) == message


def test_every_message_class_has_one_tag_and_one_case() -> None:
    assert {type(message) for message, _ in CASES.values()} == set(TAGS)
    assert sorted(TAGS.values()) == [*range(1, 18)]


@pytest.mark.parametrize("tag", [0, 18, 200, 2**40])
def test_unknown_tags_are_named_and_not_refused(tag: int) -> None:
    assert decode_message(encode((tag, "whatever", ())), size_max=SIZE_MAX) == Unknown(tag)


def wrong_forms() -> list[object]:
    long_text = "x" * 65
    return [
        (),
        7,
        ("1",),
        (True, b""),
        (-1,),
        (3, A, B),
        (3, A, B, 1, 1),
        (3, A[:31], B, 1),
        (3, A, B, -1),
        (3, A, B, True),
        (4, A, B, 1, 1),
        (5, 1, b"x", 0, True, ()),
        (5, 1, b"", limits.PARTS_MAX, True, ()),
        (5, 1, b"", 0, True, ((1, B, 1, A, b""), (1, A, 1, A, b""))),
        (5, 1, b"", 0, True, ((1, A, 1, A, b""), (0, A, 1, A, b""))),
        (5, 1, b"", 0, True, ((1, A, 1, A, b""), (1, A, 1, A, b""))),
        (5, 1, b"", 0, True, ((2, A, 1, A, b""),)),
        (5, 1, b"", 0, True, ((0, A, 2**21, A, b""),)),
        (5, 1, b"", 0, True, ((1, A, 1, A, b"x"),)),
        (5, 1, b"", 0, True, ((1, A, 1, A, b""),) * (limits.ROWS_MAX + 1)),
        (6,),
        (7, 1, (), 9),
        (7, 1, ((A, 1, 0, 1),), 9),
        (7, 1, ((A, 1, 3, 2),), 9),
        (7, 1, ((A, 1, 1, 2),), 0),
        (7, 1, ((A, 1, 1, 2),) * (limits.RANGES_MAX + 1), 9),
        (8, 1, ("text",), True),
        (8, 1, (b"",) * (limits.ENTRIES_MAX + 1), True),
        (9, 1, ()),
        (9, 1, (A,) * (limits.IDS_MAX + 1)),
        (10, 1, A, 1, (2, 2)),
        (10, 1, A, 1, (0,)),
        (10, 1, A, 1, tuple(range(1, limits.HEADERS_MAX + 2))),
        (11, 1, A, 1, ((b"header", b"s" * 64),)),
        (12, TWO.value(), ONE.value()),
        (12, ONE.value(), ONE.value()),
        (12, ONE.value(), HEADS[1].value()),
        (2, 1, "x" * 201),
        (1, *((0,) * 12)),
        (1, *hello_fields(software=long_text)),
        (1, *hello_fields(region=long_text)),
        (1, *hello_fields(addresses=(("h", 0),))),
        (1, *hello_fields(addresses=(("h", 65_536),))),
        (1, *hello_fields(addresses=(("h", 1),) * 9)),
        (1, *hello_fields(addresses=(("h" * 254, 1),))),
        (1, *hello_fields(heads=(None,))),
        (1, *hello_fields(join=((), b"short"))),
        (1, *hello_fields(join=((b"",) * 11, b""))),
        (1, *hello_fields(ext=((2, 0), (1, "x")))),
        (1, *hello_fields(ext=((1, 5),))),
        (1, *hello_fields(ext=((1, long_text),))),
        (1, *hello_fields(ext=tuple((key, 0) for key in range(17)))),
    ]


def wrong_forms_of_the_push() -> list[object]:
    many = range(limits.HAVES_MAX + 1)
    return [
        (13, (b"e",), 0),
        (13, (b"e",), limits.HOPS_MAX + 1),
        (13, (b"e",), 1, 1),
        (14, 0, (), ()),
        (14, 0, (), (1, 1)),
        (14, 0, (), (1, 0, 0)),
        (14, 0, (), (0, 2**21, 0)),
        (14, 0, (), (1, 1, limits.HOPS_MAX + 1)),
        (14, 0, (), (2 * limits.HAVE_AUTHORS_MAX, 1, 0)),
        (14, 0, (), (2, 1, 0, 1, 1, 0)),
        (14, 0, (), (1, 1, 0, 1, 2, 0)),
        (14, 1, (), (1, 1, 0)),
        (14, 0, (A[:31],), (1, 1, 0)),
        (14, limits.HAVE_AUTHORS_MAX, (A,), (1, 1, 0)),
        (14, 0, (A,), (1, 1, 0, 3)),
        (14, 0, (A,), (1, 1, 0, 3, 1)),
        (14, 0, (A,) * (limits.HAVE_AUTHORS_MAX + 1), (1, 1, 0)),
        (14, 0, (), tuple(i for key in many for i in (key, 1, 0))),
        (16, ()),
        (16, ((A, 1),)),
        (16, ((A, 2, 1),)),
        (16, ((A, 1, -1),)),
        (16, ((A, 1, 1), (A, 0, 1))),
        (16, ((A, 1, 1), (A, 1, 2))),
        (16, tuple((i.to_bytes(32, "big"), 1, 1) for i in range(limits.GRAFTS_MAX + 1))),
        (17, (), False),
        (17, (A,), 1),
        (17, (B, A), True),
        (17, (A, A), False),
        (17, tuple(i.to_bytes(32, "big") for i in range(limits.PRUNES_MAX + 1)), False),
    ]


def hello_fields(
    *,
    software: object = "",
    addresses: object = (),
    region: object = "",
    heads: object = (None, None),
    join: object = None,
    ext: object = (),
) -> tuple[object, ...]:
    return (1, 1, 0, software, 1, A, B, heads, addresses, region, 0, join, ext)


def test_the_hello_that_the_wrong_forms_vary_is_right() -> None:
    assert isinstance(decode_message(encode((1, *hello_fields())), size_max=SIZE_MAX), m.Hello)


@pytest.mark.parametrize(
    "value", wrong_forms() + wrong_forms_of_the_push(), ids=lambda value: f"{value!r:.40}"
)
def test_a_wrong_form_is_a_protocol_violation(value: object) -> None:
    with pytest.raises(ProtocolViolation):
        decode_message(encode(value), size_max=SIZE_MAX)


def test_too_many_bytes_are_a_protocol_violation() -> None:
    data = encode_message(m.Push((b"x" * 100,)))
    with pytest.raises(ProtocolViolation):
        decode_message(data, size_max=len(data) - 1)


def test_the_name_is_an_extension() -> None:
    named, nameless = CASES["hello"][0], CASES["hello_join"][0]
    assert isinstance(named, m.Hello)
    assert isinstance(nameless, m.Hello)
    assert (named.name, nameless.name) == ("alice", "")


@given(st.binary(max_size=300))
def test_any_bytes_raise_nothing_but_a_protocol_violation(data: bytes) -> None:
    with contextlib.suppress(ProtocolViolation):
        decode_message(data, size_max=SIZE_MAX)


@given(st.sampled_from(sorted(CASES)), st.integers(0, 2**16), st.integers(1, 255))
def test_a_flipped_byte_gives_the_same_bytes_back_or_a_violation(
    name: str, at: int, change: int
) -> None:
    data = bytearray(encode_message(CASES[name][0]))
    data[at % len(data)] ^= change
    try:
        message = decode_message(bytes(data), size_max=SIZE_MAX)
    except ProtocolViolation:
        return
    if not isinstance(message, Unknown):
        assert encode_message(message) == bytes(data)


def test_an_announcement_costs_three_small_integers() -> None:
    held = tuple(m.Held(number, 1, 100, 2) for number in range(15))
    assert len(encode_message(m.Have(0, (), held))) <= 8 + 3 * 15
    # Even the largest numbers, where every author is named anew.
    full = tuple(m.Held(number, 1, 2**62, 255) for number in range(limits.HAVES_MAX))
    named = tuple(number.to_bytes(32, "big") for number in range(limits.HAVE_AUTHORS_MAX))
    assert len(encode_message(m.Have(0, named, full))) <= 48 * limits.HAVES_MAX


def test_a_full_part_of_rows_fits_64_kib() -> None:
    rows = tuple(
        FrontierRow(author=index.to_bytes(32, "big"), lane=1, seq=2**62, head=A, proof=B)
        for index in range(limits.ROWS_MAX)
    )
    assert len(encode_message(m.Rows(2**62, A, 2047, True, rows))) <= 64 * 1024
