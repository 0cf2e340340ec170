"""The engine behind its door: hellos of strangers, then whatever members may say, in any order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from capability.entry import Entry
from capability.frontier import FrontierRow
from capability.ids import ZERO_ID
from mesh.core.inputs import (
    DialFailed,
    Found,
    Input,
    LinkClosed,
    Measured,
    OutboxDrained,
    OutboxFull,
    Seal,
    Submit,
    SyncNow,
    Tick,
)
from mesh.core.writes import AddToSet, Append, Create, SetRegister
from mesh.gossip.messages import (
    Entries,
    ForkProof,
    Get,
    GetById,
    GetHeaders,
    Goodbye,
    GoodbyeCode,
    Graft,
    Have,
    Headers,
    Held,
    Join,
    Message,
    Missed,
    NeedFull,
    Prune,
    Push,
    Range,
    Roots,
    RootsReply,
    Rows,
)
from mesh.wire import encode_message
from tests.fuzz.mending import Mender, mended
from tests.fuzz.packed import pack, unpack
from tests.fuzz.scene import ANN, BOB, EVE, KEYS, LEAD, MAD, NEW, Stage, proof_of, scene
from tests.fuzz.target import KIB, Broken, Target

#: One input is at most so many steps, each at most so far apart in time.
STEPS_MAX: Final = 24
WAIT_MS_MAX: Final = 120_000
#: The answers of this node to one input.
SENT_BYTES_MAX: Final = 24 << 20


# -- the hello of somebody new

_HONEST, _STRANGER = b"\1", b"\0"


def _greeting(data: bytes) -> None:
    """
    One hello. Behind a 1, a ticket's bearer signs the chain again with its keys, and proves.

    Behind a 0, Eve shows what she likes, all that others ever sent included, and stays out.
    """
    bears, data = data[:1] == _HONEST, data[1:]
    stage, here = Stage(), scene()
    stage.open(NEW, KEYS[NEW] if bears else EVE)
    if bears:
        data = mended(data, Mender(here.mesh.id, (KEYS[NEW], here.join_key)))
    stage.tell(NEW, data)
    if stage.is_in(NEW) and not bears:
        raise Broken("somebody without a ticket was let in")
    stage.check()


def _greeting_seeds() -> Iterator[bytes]:
    here, stage = scene(), Stage()
    hello = encode_message(stage.hello(Join(here.chain, proof_of(here.join_key, KEYS[NEW].public))))
    yield _HONEST + hello
    # For somebody else's key, and of somebody who has the chain without the proof.
    stolen = proof_of(here.join_key, KEYS[MAD].public)
    yield _STRANGER + encode_message(stage.hello(Join(here.chain, stolen)))
    yield _STRANGER + encode_message(stage.hello(Join(here.chain[:-1], b"")))
    yield _STRANGER + encode_message(stage.hello())
    yield _STRANGER + encode_message(Goodbye(GoodbyeCode.SHUTTING_DOWN, "bye"))


# -- a conversation


def _engine(data: bytes) -> None:
    """
    [keys, step…]: with keys 0 hostile members sign with their own keys, else with Ann's, too.

    With their own keys they cannot make Ann drop Bob, who has said nothing wrong.
    """
    try:
        script = unpack(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(script, list) or not script:
        return
    stage, here = Stage(), scene()
    for link in (MAD, LEAD, BOB):
        stage.greet(link)
    stage.open(NEW)
    own = script[0] == 0
    signers = (KEYS[MAD], KEYS[LEAD], KEYS[NEW])
    extra = () if own else (ANN, KEYS[BOB], here.join_key)
    mender = Mender(here.mesh.id, (*signers, *extra))
    for step in script[1 : STEPS_MAX + 1]:
        if isinstance(step, list) and step:
            _step(stage, mender, step)
    if own and not stage.is_in(BOB):
        raise Broken("Bob lost his link by what others said")
    if stage.sent_bytes > SENT_BYTES_MAX:
        raise Broken(f"{stage.sent_bytes} bytes were sent")
    stage.check()


def _step(stage: Stage, mender: Mender, step: list[Any]) -> None:
    kind, link, content, *_ = (*step, None, None, None)
    number = link if isinstance(link, int) and link >= 0 else 0
    match kind:
        case 0:
            stage.tell(number % BOB, content if isinstance(content, bytes) else b"")
        case 1 | 2:
            _say(stage, mender, number % BOB, content, answers=kind == 2)
        case 3:
            stage.mono_ms += number % WAIT_MS_MAX
            stage.batch(Tick())
        case 4:
            stage.batch(LinkClosed(number % BOB, "gone"))
            (stage.open if number % 2 else stage.greet)(number % BOB)
        case 5:
            stage.batch(_inputs(stage)[number % len(_inputs(stage))])


def _say(stage: Stage, mender: Mender, link: int, message: Any, *, answers: bool) -> None:
    """A message of a peer; as an answer it bears the number of what it was asked last."""
    if not isinstance(message, list):
        return
    if answers and message[:1] == [4] and len(message) == 5:
        message = [*message[:3], stage.nonces.get(link, 0), message[4]]
    elif answers and len(message) > 1 and link in stage.asked:
        message = [message[0], stage.asked[link], *message[2:]]
    try:
        data = mender.message(message)
    except ValueError:
        return
    stage.tell(link, data)


def _inputs(stage: Stage) -> tuple[Input, ...]:
    node, request = scene().node, stage.host.next_request()
    return (
        OutboxFull(MAD),
        OutboxDrained(MAD),
        OutboxFull(LEAD),
        OutboxDrained(LEAD),
        Measured(MAD, 1.5),
        SyncNow(request),
        Seal(request),
        DialFailed(("10.0.0.7", 7), "no answer"),
        Found(("10.0.0.8", 7), "fuzz"),
        Submit(request, (SetRegister(node, 0, "title", "mine"),)),
        Submit(request, (AddToSet(node, 0, "tags", "y"), Append(node, 0, "log", 1)), "local"),
        Submit(request, (Create(node, "task", b"%d" % request),)),
    )


def _script(*steps: list[Any], keys: int = 0) -> bytes:
    return pack([keys, *steps])


def _said(message: Message) -> Any:
    return unpack(encode_message(message))


def _messages() -> Iterator[Message]:
    here = scene()
    mad, lead = KEYS[MAD].public, KEYS[LEAD].public
    first, second, *_ = here.entries
    encoded = tuple(entry.encode() for entry in here.entries)
    yield Push(encoded[:2])
    yield Push(encoded[1:2])
    yield Push(encoded[2:4])
    yield Push(encoded[4:5])
    yield Push(encoded[6:7])
    yield Push(encoded[7:])
    yield Roots(b"a" * 32, b"d" * 32, 7)
    yield RootsReply(b"a" * 32, b"d" * 32, 7, equal=False)
    rows = tuple(
        sorted(
            (
                FrontierRow(lead, 1, 2, second.id, b""),
                FrontierRow(mad, 1, 2, here.entries[6].id, b""),
                FrontierRow(lead, 0, 1, here.entries[2].id, b""),
                FrontierRow(here.mesh.root.public, 0, 900, b"h" * 32, b""),
                FrontierRow(KEYS[BOB].public, 1, 3, b"h" * 32, b"p" * 32),
            ),
            key=lambda row: (row.lane, row.author),
        )
    )
    yield Rows(1, b"", 0, last=True, rows=rows)
    yield Rows(1, b"b" * 32, 0, last=False, rows=rows[:2])
    yield NeedFull(1)
    yield Get(1, (Range(here.mesh.root.public, 0, 1, 9), Range(lead, 1, 1, 2)), 1 << 20)
    yield Entries(1, encoded[:1], done=False)
    yield Entries(1, encoded[1:], done=True)
    yield GetById(1, (here.mesh.id, first.id, ZERO_ID))
    yield GetHeaders(1, here.mesh.root.public, 0, (1, 2, 9))
    yield Headers(1, lead, 1, (first.signed_header, second.signed_header, None))
    yield Goodbye(GoodbyeCode.SHUTTING_DOWN, "bye")
    yield from (_fork(*halves) for halves in here.forks)
    held = (Held(0, 0, 900, 0), Held(0, 1, 3, 4), Held(1, 1, 1 << 40, 1), Held(9, 1, 1, 1))
    yield Have(0, (lead, mad), held)
    yield Have(0, (), held[1:3])
    yield Graft(tuple(sorted((Missed(lead, 1, 0), Missed(mad, 1, 1 << 40)), key=_author_of)))
    yield Prune(tuple(sorted((lead, mad))), rest=True)
    yield Push(encoded[:1], 254)


def _author_of(missed: Missed) -> bytes:
    return missed.author


def _fork(one: Entry, two: Entry) -> ForkProof:
    low, high = sorted((one.signed_header, two.signed_header), key=lambda half: half.id)
    return ForkProof(low, high)


def _engine_seeds() -> Iterator[bytes]:
    said = [_said(message) for message in _messages()]
    wait: list[Any] = [3, 7_000]
    for keys in (0, 1):
        for message in said:
            for link in (MAD, LEAD):
                yield _script([1, link, message], wait, [2, link, message], keys=keys)
        yield _script(*([1, LEAD, message] for message in said[:6]), wait, wait, keys=keys)
        yield _script(*([1 + n % 2, MAD, m] for n, m in enumerate(said)), wait, keys=keys)
    roots, reply, rows = said[6:9]
    for link in (MAD, LEAD):
        asked = [[2, link, message] for message in (rows, *said[11:13], *said[15:17])]
        yield _script([1, link, roots], *asked, wait, *asked, wait)
        yield _script(wait, [2, link, reply], *asked, wait, [2, link, reply], *asked[::-1])
    here = scene()
    hello = Stage().hello(Join(here.chain, proof_of(here.join_key, KEYS[NEW].public)))
    yield _script([1, NEW, _said(hello)], [1, NEW, said[0]], wait, keys=1)
    yield _script([0, MAD, b"\x90"], [4, MAD], *([5, n] for n in range(12)), wait)


TARGETS: Final = (
    Target(
        "greeting", _greeting, _greeting_seeds, size_max=8 * KIB, memory=(4 << 20, 400), prefix=1
    ),
    Target("engine", _engine, _engine_seeds, size_max=12 * KIB, memory=(16 << 20, 2_000)),
)
