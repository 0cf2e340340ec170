"""
The one table of peer messages: tag ↔ class, and the form of every field.

A message is one canonical MessagePack array, [tag, fields…]. A known tag with any other form is a
`ProtocolViolation`; an unknown tag is `Unknown`, which a node ignores: the version range and the
feature bits of the hello decide who may send what.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import astuple, frozen

from capability.entry import SignedHeader, decode_signed_header
from capability.errors import FormError
from capability.form import array, ascending, binary, fixed, record, text, unsigned
from capability.frontier import FrontierRow
from capability.ids import ID_BYTES
from capability.keys import PUBLIC_BYTES, SIGNATURE_BYTES
from capability.limits import ENTRY_BYTES_MAX
from crdt.codec import Value, decode, encode
from crdt.errors import CodecError
from mesh.core.errors import ProtocolViolation
from mesh.core.inputs import Address
from mesh.core.limits import ADDRESSES_MAX
from mesh.gossip import limits
from mesh.gossip.messages import (
    EXT_NAME,
    Entries,
    ForkProof,
    Get,
    GetById,
    GetHeaders,
    Goodbye,
    Graft,
    Have,
    Headers,
    Hello,
    Join,
    Message,
    NeedFull,
    Peers,
    Prune,
    Push,
    Range,
    Roots,
    RootsReply,
    Rows,
    Told,
)
from mesh.gossip.push_form import (
    Fields,
    read_encoded,
    read_flag,
    read_graft,
    read_have,
    read_lane,
    read_prune,
    read_push,
    seq_max,
    write_graft,
    write_have,
    write_prune,
    write_push,
)

__all__ = ["TAGS", "Unknown", "decode_message", "encode_message"]


@frozen
class Unknown:
    """A message of a later version."""

    tag: int


def _optional(value: Value, size: int, what: str) -> bytes:
    return b"" if value == b"" else fixed(value, size, what)


def _signed_header(value: Value) -> SignedHeader | None:
    return None if value is None else decode_signed_header(value)


def _header_values(headers: tuple[SignedHeader | None, ...]) -> Value:
    return tuple(None if header is None else header.value() for header in headers)


def _address(value: Value) -> Address:
    host, port = record(value, 2, "address")
    return (
        text(host, "host", most=limits.HOST_BYTES_MAX),
        unsigned(port, "port", least=1, most=65_535),
    )


def _join(value: Value) -> Join | None:
    if value is None:
        return None
    chain, signature = record(value, 2, "join")
    items = array(chain, "join chain", most=limits.JOIN_CHAIN_MAX)
    return Join(
        tuple(binary(item, "join entry", most=ENTRY_BYTES_MAX) for item in items),
        _optional(signature, SIGNATURE_BYTES, "join signature"),
    )


def _ext(value: Value) -> tuple[tuple[int, Value], ...]:
    pairs = []
    for item in array(value, "ext", most=limits.EXT_PAIRS_MAX):
        key, content = record(item, 2, "ext pair")
        pairs.append((unsigned(key, "ext key"), content))
        if key == EXT_NAME:
            text(content, "name", most=limits.TEXT_BYTES_MAX)
    ascending((key for key, _ in pairs), "ext")
    return tuple(pairs)


def _write_hello(hello: Hello) -> Fields:
    return (
        hello.proto_min,
        hello.proto_max,
        hello.features,
        hello.software,
        hello.rules,
        hello.auth_root,
        hello.data_root,
        _header_values(hello.your_heads),
        hello.addresses,
        hello.region,
        hello.wall_ms,
        None if hello.join is None else (hello.join.chain, hello.join.signature),
        hello.ext,
    )


def _read_hello(fields: Fields) -> Hello:
    low, high, features, software, rules, auth, data, heads, addresses, region, wall, join, ext = (
        record(fields, 13, "hello")
    )
    first, second = record(heads, 2, "your heads")
    return Hello(
        proto_min=unsigned(low, "proto_min"),
        proto_max=unsigned(high, "proto_max"),
        features=unsigned(features, "features"),
        software=text(software, "software", most=limits.TEXT_BYTES_MAX),
        rules=unsigned(rules, "rules"),
        auth_root=fixed(auth, ID_BYTES, "auth root"),
        data_root=fixed(data, ID_BYTES, "data root"),
        your_heads=(_signed_header(first), _signed_header(second)),
        addresses=tuple(map(_address, array(addresses, "addresses", most=ADDRESSES_MAX))),
        region=text(region, "region", most=limits.TEXT_BYTES_MAX),
        wall_ms=unsigned(wall, "wall_ms"),
        join=_join(join),
        ext=_ext(ext),
    )


def _read_goodbye(fields: Fields) -> Goodbye:
    code, reason = record(fields, 2, "goodbye")
    return Goodbye(unsigned(code, "code"), text(reason, "text", most=limits.REASON_BYTES_MAX))


def _read_roots(fields: Fields) -> Roots:
    auth, data, nonce = record(fields, 3, "roots")
    return Roots(
        fixed(auth, ID_BYTES, "auth root"),
        fixed(data, ID_BYTES, "data root"),
        unsigned(nonce, "nonce"),
    )


def _read_roots_reply(fields: Fields) -> RootsReply:
    auth, data, nonce, equal = record(fields, 4, "roots reply")
    return RootsReply(
        fixed(auth, ID_BYTES, "auth root"),
        fixed(data, ID_BYTES, "data root"),
        unsigned(nonce, "nonce"),
        read_flag(equal, "equal"),
    )


def _row(value: Value) -> FrontierRow:
    lane, author, seq, head, proof = record(value, 5, "row")
    number = read_lane(lane)
    return FrontierRow(
        author=fixed(author, PUBLIC_BYTES, "author"),
        lane=number,
        seq=unsigned(seq, "seq", most=seq_max(number)),
        head=_optional(head, ID_BYTES, "head"),
        proof=_optional(proof, ID_BYTES, "proof"),
    )


def _write_rows(rows: Rows) -> Fields:
    values = tuple((row.lane, row.author, row.seq, row.head, row.proof) for row in rows.rows)
    return (rows.exchange, rows.base, rows.part, rows.last, values)


def _read_rows(fields: Fields) -> Rows:
    exchange, base, part, last, rows = record(fields, 5, "rows")
    read = tuple(map(_row, array(rows, "rows", most=limits.ROWS_MAX)))
    ascending((bytes((row.lane,)) + row.author for row in read), "rows")
    return Rows(
        unsigned(exchange, "exchange"),
        _optional(base, ID_BYTES, "base"),
        unsigned(part, "part", most=limits.PARTS_MAX - 1),
        read_flag(last, "last"),
        read,
    )


def _read_need_full(fields: Fields) -> NeedFull:
    (exchange,) = record(fields, 1, "need full")
    return NeedFull(unsigned(exchange, "exchange"))


def _range(value: Value) -> Range:
    author, lane, first, last = record(value, 4, "range")
    number = read_lane(lane)
    start = unsigned(first, "from", least=1, most=seq_max(number))
    return Range(
        fixed(author, PUBLIC_BYTES, "author"),
        number,
        start,
        unsigned(last, "to", least=start, most=seq_max(number)),
    )


def _write_get(get: Get) -> Fields:
    ranges = tuple((item.author, item.lane, item.first, item.last) for item in get.ranges)
    return (get.request, ranges, get.budget)


def _read_get(fields: Fields) -> Get:
    request, ranges, budget = record(fields, 3, "get")
    items = array(ranges, "ranges", least=1, most=limits.RANGES_MAX)
    return Get(
        unsigned(request, "request"),
        tuple(map(_range, items)),
        unsigned(budget, "budget", least=1),
    )


def _read_entries(fields: Fields) -> Entries:
    request, entries, done = record(fields, 3, "entries")
    return Entries(unsigned(request, "request"), read_encoded(entries), read_flag(done, "done"))


def _read_get_by_id(fields: Fields) -> GetById:
    request, ids = record(fields, 2, "get by id")
    items = array(ids, "ids", least=1, most=limits.IDS_MAX)
    return GetById(
        unsigned(request, "request"), tuple(fixed(item, ID_BYTES, "id") for item in items)
    )


def _read_get_headers(fields: Fields) -> GetHeaders:
    request, author, lane, seqs = record(fields, 4, "get headers")
    number = read_lane(lane)
    items = array(seqs, "seqs", least=1, most=limits.HEADERS_MAX)
    read = tuple(unsigned(item, "seq", least=1, most=seq_max(number)) for item in items)
    ascending(read, "seqs")
    return GetHeaders(
        unsigned(request, "request"), fixed(author, PUBLIC_BYTES, "author"), number, read
    )


def _write_headers(headers: Headers) -> Fields:
    values = _header_values(headers.headers)
    return (headers.request, headers.author, headers.lane, values)


def _read_headers(fields: Fields) -> Headers:
    request, author, lane, headers = record(fields, 4, "headers")
    items = array(headers, "headers", most=limits.HEADERS_MAX)
    return Headers(
        unsigned(request, "request"),
        fixed(author, PUBLIC_BYTES, "author"),
        read_lane(lane),
        tuple(map(_signed_header, items)),
    )


def _write_fork_proof(proof: ForkProof) -> Fields:
    return (proof.first.value(), proof.second.value())


def _read_fork_proof(fields: Fields) -> ForkProof:
    first, second = map(decode_signed_header, record(fields, 2, "fork proof"))
    one, two = first.header, second.header
    if (one.author, one.lane, one.seq) != (two.author, two.lane, two.seq):
        raise FormError("fork proof: the headers are not of one author, lane and number")
    if not first.id < second.id:
        raise FormError("fork proof: the headers are not ascending by id")
    return ForkProof(first, second)


def _write_peers(peers: Peers) -> Fields:
    return (tuple((told.node, told.addresses) for told in peers.peers),)


def _read_peers(fields: Fields) -> Peers:
    (listed,) = record(fields, 1, "peers")
    read = []
    for item in array(listed, "peers", most=limits.PEERS_TOLD_MAX):
        node, addresses = record(item, 2, "peer")
        where = array(addresses, "addresses", most=ADDRESSES_MAX)
        read.append(Told(fixed(node, PUBLIC_BYTES, "peer"), tuple(map(_address, where))))
    ascending((told.node for told in read), "peers")
    return Peers(tuple(read))


def _plain(message: Message) -> Fields:
    # The fields of most messages are values of the format already, in the order of the class.
    return astuple(message, recurse=False)


#: Tag, class, what writes the fields, what reads them.
_TABLE: Final[
    tuple[tuple[int, type, Callable[[Any], Fields], Callable[[Fields], Message]], ...]
] = (
    (1, Hello, _write_hello, _read_hello),
    (2, Goodbye, _plain, _read_goodbye),
    (3, Roots, _plain, _read_roots),
    (4, RootsReply, _plain, _read_roots_reply),
    (5, Rows, _write_rows, _read_rows),
    (6, NeedFull, _plain, _read_need_full),
    (7, Get, _write_get, _read_get),
    (8, Entries, _plain, _read_entries),
    (9, GetById, _plain, _read_get_by_id),
    (10, GetHeaders, _plain, _read_get_headers),
    (11, Headers, _write_headers, _read_headers),
    (12, ForkProof, _write_fork_proof, _read_fork_proof),
    (13, Push, write_push, read_push),
    (14, Have, write_have, read_have),
    (15, Peers, _write_peers, _read_peers),
    (16, Graft, write_graft, read_graft),
    (17, Prune, write_prune, read_prune),
)
TAGS: Final = {cls: tag for tag, cls, _, _ in _TABLE}
_WRITERS: Final = {cls: write for _, cls, write, _ in _TABLE}
_READERS: Final = {tag: read for tag, _, _, read in _TABLE}


def encode_message(message: Message) -> bytes:
    """The bytes of *message*, ready for a channel."""
    return encode((TAGS[type(message)], *_WRITERS[type(message)](message)))


def decode_message(data: bytes, *, size_max: int) -> Message | Unknown:
    """
    Read one message of at most *size_max* bytes.

    Raises:
        ProtocolViolation: Not canonical, no tag, or a known tag with fields of another form.
    """
    try:
        value = array(decode(data, size_max=size_max), "message", least=1, most=size_max)
        tag = unsigned(value[0], "tag")
        reader = _READERS.get(tag)
        return Unknown(tag) if reader is None else reader(value[1:])
    except (CodecError, FormError) as error:
        raise ProtocolViolation(f"message of {len(data)} bytes: {error}") from error
