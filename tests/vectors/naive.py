"""
The formats a second time, written from docs/formats.md alone; it writes the vectors beside it.

Nothing of the project is imported: a vector that both sides make the same way by calling the
same code would show nothing. `python -m tests.vectors.naive` writes the files anew, and a change
that it makes to one of them is a breaking change of the format.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

HERE = Path(__file__).parent
ZERO = bytes(32)


def pack(value: Any) -> bytes:
    """Canonical MessagePack: the shortest form of each value, no maps, floats or extensions."""
    if value is None:
        return b"\xc0"
    if value is True:
        return b"\xc3"
    if value is False:
        return b"\xc2"
    if isinstance(value, int):
        return pack_int(value)
    if isinstance(value, bytes):
        return head(len(value), ((0xFF, 0xC4, 1), (0xFFFF, 0xC5, 2), (0xFFFFFFFF, 0xC6, 4))) + value
    if isinstance(value, str):
        raw = value.encode()
        if len(raw) <= 31:
            return bytes([0xA0 + len(raw)]) + raw
        return head(len(raw), ((0xFF, 0xD9, 1), (0xFFFF, 0xDA, 2), (0xFFFFFFFF, 0xDB, 4))) + raw
    items = b"".join(pack(item) for item in value)
    if len(value) <= 15:
        return bytes([0x90 + len(value)]) + items
    return head(len(value), ((0xFFFF, 0xDC, 2), (0xFFFFFFFF, 0xDD, 4))) + items


def pack_int(value: int) -> bytes:
    if 0 <= value <= 127:
        return bytes([value])
    if -32 <= value < 0:
        return bytes([256 + value])
    if value >= 0:
        return head(
            value,
            ((2**8 - 1, 0xCC, 1), (2**16 - 1, 0xCD, 2), (2**32 - 1, 0xCE, 4), (2**63 - 1, 0xCF, 8)),
        )
    for bits, first in ((8, 0xD0), (16, 0xD1), (32, 0xD2), (64, 0xD3)):
        if value >= -(2 ** (bits - 1)):
            return bytes([first]) + (value + 2**bits).to_bytes(bits // 8, "big")
    raise ValueError(value)


def head(number: int, forms: tuple[tuple[int, int, int], ...]) -> bytes:
    for most, first, width in forms:
        if number <= most:
            return bytes([first]) + number.to_bytes(width, "big")
    raise ValueError(number)


def blake(use: str, data: bytes, size: int = 32) -> bytes:
    return hashlib.blake2b(
        b"worknode-mesh/v1/" + use.encode() + b"\x00" + data, digest_size=size
    ).digest()


def worknode(parent: bytes, key_class: int, key: bytes) -> bytes:
    return blake("worknode", parent + bytes([key_class]) + key, 16)


def public(seed: bytes) -> bytes:
    return bytes(SigningKey(seed).verify_key)


def sign(seed: bytes, data: bytes) -> bytes:
    return SigningKey(seed).sign(data).signature


def entry(
    name: str,
    seed: bytes,
    mesh: bytes,
    at: tuple[int, int, bytes, int],
    *,
    kind: int,
    leaf: bytes,
    value: Any,
) -> dict[str, Any]:
    """A signed entry; *at* is (lane, seq, prev, hlc)."""
    body = pack(value)
    header = pack([1, public(seed), *at, kind, leaf, len(body), blake("body", body)])
    signed = b"worknode-mesh/v1/entry\x00" + (ZERO if kind == 0 else mesh) + header
    signature = sign(seed, signed)
    fields = {"name": name, "seed": seed, "mesh": mesh}
    fields |= {"lane": at[0], "seq": at[1], "prev": at[2], "hlc": at[3]}
    fields |= {"kind": kind, "leaf": leaf, "value": value, "body": body, "header": header}
    fields |= {"id": blake("entry", header), "signature": signature}
    return fields | {"entry": pack([header, signature, body])}


ROOT, INVITER, JOIN_SEED, NODE = (bytes([number]) * 32 for number in (1, 2, 3, 4))
DAY = 86_400_000
T0 = 1_900_000_000_000
NEVER = (2**63 - 1) // 2**16


def genesis_value() -> list[Any]:
    roots = [public(ROOT)]
    limits = [[1, 1048576], [2, 1440]]
    return [1, "garden", bytes(range(16)), roots, 1, ZERO, ZERO, 1, 0, limits]


def grant_value(root: bytes) -> list[Any]:
    """Two scopes: the root Worknode, and one two steps below it."""
    own = public(ROOT) + bytes(range(16))
    bench = worknode(worknode(root, 1, b"shed"), 0, own)
    scopes = [[0, [], root], [0, [[1, b"shed"], [0, own]], bench]]
    scopes.sort(key=lambda scope: scope[2])
    caveats = [[4, [1, 2, 3]], [5, ["título"]]]
    return [public(INVITER), 0, scopes, 8191, 8, 0, NEVER, caveats, "Ada's laptop"]


def join_value(root: bytes, scopes: list[Any]) -> list[Any]:
    at = next(index for index, scope in enumerate(scopes) if scope[2] == root)
    caveats = [[9, 6959], [10, 1], [11, T0 + 3_600_000]]
    end = T0 + 30 * DAY
    return [public(JOIN_SEED), 1, [[at, [], root]], 7087, 8, T0, end, caveats, ""]


def member_value(root: bytes) -> list[Any]:
    return [public(NODE), 0, [[0, [], root]], 6959, 8, T0, T0 + 30 * DAY, [], "n" * 64]


def pin_value(join: bytes, member: bytes) -> list[Any]:
    rows = [
        [public(JOIN_SEED), [1, member], None],
        [public(INVITER), [1, join], [300, blake("entry", b"x")]],
        [public(NODE), None, None],
    ]
    return [sorted(rows), 0]


def chain() -> list[dict[str, Any]]:
    """Genesis, a member's grant, a join grant, the grant that it issues, and a pin."""
    at = (0, 1, ZERO, T0 << 16)
    genesis = entry("genesis", ROOT, ZERO, at, kind=0, leaf=b"", value=genesis_value())
    mesh = genesis["id"]
    root = blake("root-worknode", mesh, 16)

    at = (0, 2, mesh, (T0 << 16) + 1)
    grant = entry("grant", ROOT, mesh, at, kind=1, leaf=b"", value=grant_value(root))

    at, leaf = (0, 1, mesh, (T0 + 5 << 16) + 2), grant["id"]
    value = join_value(root, grant["value"][2])
    join = entry("join grant", INVITER, mesh, at, kind=1, leaf=leaf, value=value)

    at, leaf = (0, 1, mesh, T0 + 9 << 16), join["id"]
    name = "member grant by the join key"
    member = entry(name, JOIN_SEED, mesh, at, kind=1, leaf=leaf, value=member_value(root))

    at, leaf = (0, 2, join["id"], T0 + 20 << 16), grant["id"]
    value = pin_value(join["id"], member["id"])
    pin = entry("pin", INVITER, mesh, at, kind=3, leaf=leaf, value=value)
    return [genesis, grant, join, member, pin]


def data(known: list[dict[str, Any]]) -> dict[str, Any]:
    """One data entry with every op of this version; each line below is one."""
    mesh, member = known[0]["id"], known[3]
    root = blake("root-worknode", mesh, 16)
    mine = public(NODE) + b"n" * 16
    task, shared = worknode(root, 0, mine), worknode(root, 1, b"import-7")
    nodes = sorted([task, shared])
    t, s = nodes.index(task), nodes.index(shared)
    names = ["notes", "state", "tags", "task", "task.seen", "title", "votes"]
    rich = [
        1,
        ["at", [4, -5]],
        ["file", [5, blake("body", b"f"), 2**40, "text/plain"]],
        ["list", [0, None, True, False, -1, 2**63 - 1, "ü", b"\x00", [0], [1]]],
        ["of", [2, task]],
        ["pi", [3, "-3.14"]],
    ]
    ops = [
        [1, 0, t, [], root, 0, mine, 3, 1, 0, b"\x80"],
        [1, 0, s, [[0, 0]], root, 1, b"import-7", 3, 1, 1, b""],
        [2, 0, s, [], task, b"\x81\x02"],
        [3, 60_000 << 16, t, [], 0, 5, rich],
        [4, 0, t, [], 1, 1, "ready", [[-1, 4], [0, 3], [2, 9]]],
        [5, 0, t, [], 0, 2, "urgent", []],
        [6, 0, t, [], 0, 2, [[-2, 0], [0, 5]]],
        [7, 0, t, [], 2, 6, -3],
        [8, 0, t, [], 0, 0, b"bytes"],
        [9, 0, t, [[0, 0]], 1, 60_000],
        [10, 0, t, [], [[0, 9]]],
        [11, 0, t, [[0, 9]], 1, True, None],
        [12, 0, t, [], 4, [0, 1, 2]],
        [13, 0, t, [[2, 4095]], 1, "good"],
    ]
    refs = sorted([member["id"], known[4]["id"]])
    value = [b"s" * 16, refs, 1, blake("frontier", b""), nodes, names, ops]
    at = (1, 3, blake("entry", b"prev"), T0 + 100 << 16)
    return entry("data", NODE, mesh, at, kind=16, leaf=member["id"], value=value)


def reserved(known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Bodies that nothing issues yet."""
    rows = known[4]["value"][0]
    cut = [known[2]["id"], [known[4]["id"]], rows, 1, "lost laptop"]
    keys = sorted([public(ROOT), public(INVITER)])
    bodies = [
        ["revoke", 2, cut],
        ["seal", 4, [known[2]["id"], [], [], 0, ""]],
        ["adopt", 5, [[public(NODE), 1, 3, known[3]["id"]], [public(NODE), 7, 7, known[4]["id"]]]],
        ["rotate", 6, [keys, 2, blake("recovery", b"k"), rows]],
        ["rules", 7, [2]],
        ["quorum", 8, [2, pack(cut), [[key, bytes([9]) * 64] for key in keys]]],
        ["checkpoint", 9, [rows, blake("state", b""), 1]],
    ]
    return [
        {"name": name, "kind": kind, "value": value, "body": pack(value)}
        for name, kind, value in bodies
    ]


def ticket(known: list[dict[str, Any]]) -> dict[str, Any]:
    mesh, grant, join = known[0]["id"], known[1], known[2]
    value = [
        1,
        mesh,
        public(INVITER),
        join["id"],
        JOIN_SEED,
        T0 + 3_600_000,
        [["192.0.2.7", 7717], ["mesh.example", 65535]],
        "garden",
        [known[0]["entry"], grant["entry"], join["entry"]],
    ]
    packed = pack(value)
    text = base64.b32encode(packed + blake("ticket", packed, 4)).decode().lower().rstrip("=")
    handshake = blake("state", b"handshake")
    proof = sign(JOIN_SEED, b"worknode-mesh/v1/join\x00" + mesh + handshake + public(NODE))
    return {
        "value": value,
        "text": "wnjoin" + text,
        "handshake_hash": handshake,
        "node_key": public(NODE),
        "join_key": public(JOIN_SEED),
        "join_proof": proof,
    }


def ids(known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    mesh = known[0]["id"]
    root = blake("root-worknode", mesh, 16)
    mine = {"author": public(NODE), "nonce": b"n" * 16, "key": public(NODE) + b"n" * 16}
    births = [
        {"name": "own", "parent": root, "class": 0, **mine},
        {"name": "shared", "parent": root, "class": 1, "key": b"import-7"},
        {"name": "shared, empty key", "parent": root, "class": 1, "key": b""},
    ]
    born = [birth | {"id": worknode(root, birth["class"], birth["key"])} for birth in births]
    session = blake("session", "réviseur".encode(), 16)
    return [
        {"name": "root", "mesh": mesh, "id": root},
        *born,
        {"name": "session", "session": "réviseur", "id": session},
        {"name": "session, default", "session": "", "id": b""},
    ]


def to_json(value: Any) -> Any:
    """Bytes become {"hex": …}, so that a reader of any language can tell them from text."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return [to_json(item) for item in value] if isinstance(value, list) else value


def files() -> dict[str, str]:
    """The content of each vector file."""
    known = chain()
    made = {
        "authority": known,
        "data": [data(known)],
        "reserved": reserved(known),
        "ticket": ticket(known),
        "ids": ids(known),
    }
    return {
        f"{name}.json": json.dumps(to_json(value), indent=1, ensure_ascii=False) + "\n"
        for name, value in made.items()
    }


if __name__ == "__main__":
    for file, content in files().items():
        (HERE / file).write_text(content, encoding="utf-8")
