"""mDNS on loopback for real; what is read from records and where is spoken, without a network."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest
import trio
from attrs import define, field
from zeroconf import ServiceInfo

from mesh.core.effects import Log
from mesh.core.inputs import Address, Found
from mesh.transport import discovery
from mesh.transport.discovery import SERVICE, Announcement, Discovery, mesh_tag, read
from mesh.transport.interfaces import own_addresses, reachable_at

MESH = bytes(range(32))


@define(eq=False)
class Finder:
    """One node's discovery, with what it found."""

    key: bytes
    port: int
    mesh_id: bytes = MESH
    own: tuple[str, ...] = ("127.0.0.1",)
    found: list[Found] = field(factory=list)
    lines: list[Log] = field(factory=list)
    heard: trio.Event = field(factory=trio.Event)

    def describe(self, own: Sequence[str]) -> Announcement:
        return Announcement(self.mesh_id, self.key, (("127.0.0.1", self.port),))

    async def put(self, item: Found) -> None:
        self.found.append(item)
        self.heard.set()

    def discovery(self) -> Discovery:
        return Discovery(self.describe, self.put, self.lines.append, lambda: self.own)


async def test_two_nodes_of_a_mesh_find_each_other_on_loopback() -> None:
    a, b = Finder(b"a" * 32, 7001), Finder(b"b" * 32, 7002)
    stranger = Finder(b"c" * 32, 7003, mesh_id=b"other" * 6 + b"xx")
    async with trio.open_nursery() as nursery:
        for finder in (a, b, stranger):
            nursery.start_soon(finder.discovery().run)
        with trio.fail_after(15):
            await a.heard.wait()
            await b.heard.wait()
        await trio.sleep(0.3)
        nursery.cancel_scope.cancel()
    assert {f.address for f in a.found} == {("127.0.0.1", 7002)}
    assert {f.address for f in b.found} == {("127.0.0.1", 7001)}
    assert stranger.found == []
    assert a.found[0].source == "mdns"
    assert a.lines == b.lines == []


async def test_failures_are_logged_and_tried_again_ever_later(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def inline(function: object, *args: object, **_: object) -> object:
        await trio.lowlevel.checkpoint()
        return function(*args)

    def refuse(interfaces: object) -> None:
        raise OSError(19, "No such device")

    monkeypatch.setattr(discovery, "_open", refuse)
    monkeypatch.setattr(trio.to_thread, "run_sync", inline)
    finder = Finder(b"a" * 32, 7001)
    running = finder.discovery()
    with trio.move_on_after(300):
        await running.run()
    assert 6 <= len(finder.lines) <= 12
    assert "No such device" in (running.problem or "")


async def test_new_addresses_start_a_new_session(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, ...]] = []

    class Silent:
        def close(self) -> None:
            pass

        def cancel(self) -> None:
            pass

        def register_service(self, info: object, **_: object) -> None:
            pass

    async def inline(function: object, *args: object, **_: object) -> object:
        await trio.lowlevel.checkpoint()
        return function(*args)

    def open_(interfaces: tuple[str, ...]) -> Silent:
        opened.append(interfaces)
        return Silent()

    monkeypatch.setattr(discovery, "_open", open_)
    monkeypatch.setattr(discovery, "_browser", lambda *_: Silent())
    monkeypatch.setattr(trio.to_thread, "run_sync", inline)
    finder = Finder(b"a" * 32, 7001)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(finder.discovery().run)
        await trio.sleep(10)
        assert opened == [("127.0.0.1",)]
        finder.own = ()
        await trio.sleep(10)
        assert len(opened) == 1
        finder.own = ("127.0.0.1", "127.0.0.2")
        await trio.sleep(10)
        assert opened[1:] == [("127.0.0.1", "127.0.0.2")]
        nursery.cancel_scope.cancel()


OURS = Announcement(MESH, b"a" * 32, (("10.0.0.1", 7000),))


def record(**changes: object) -> ServiceInfo:
    properties = {b"mesh": mesh_tag(MESH).encode(), b"node": b"bb" * 8, b"v": b"1"}
    fields = {"port": 7002, "addresses": [socket.inet_aton("10.0.0.2")], "properties": properties}
    return ServiceInfo(SERVICE, f"x.{SERVICE}", **(fields | changes))


def test_a_record_of_the_same_mesh_is_read() -> None:
    assert read(record(), OURS) == (("10.0.0.2", 7002),)


@pytest.mark.parametrize(
    "changes",
    [
        {"properties": {}},
        {"properties": {b"mesh": b"\xff"}},
        {"properties": {b"mesh": mesh_tag(b"other" * 6 + b"xx").encode()}},
        {
            "properties": {
                b"mesh": mesh_tag(MESH).encode(),
                b"node": (b"a" * 32).hex()[:16].encode(),
            }
        },
        {"port": 0},
        {"port": None},
        {"addresses": []},
        {"addresses": [socket.inet_pton(socket.AF_INET6, "::1")]},
    ],
)
def test_other_records_are_not_read(changes: dict[str, object]) -> None:
    assert read(record(**changes), OURS) == ()


def test_one_name_cannot_bring_many_addresses() -> None:
    many = [socket.inet_aton(f"10.0.1.{n}") for n in range(200)]
    assert len(read(record(addresses=many), OURS)) == discovery.ADDRESSES_PER_NAME_MAX


async def test_found_addresses_are_bounded() -> None:
    finder = Finder(b"a" * 32, 1)
    running = finder.discovery()
    for port in range(1, 1000):
        await running._report(("10.0.0.1", port))
    assert len(running.found) == discovery.FOUND_MAX
    assert ("10.0.0.1", 999) in running.found


@pytest.mark.parametrize(
    ("bound", "spoken"),
    [
        ((("127.0.0.1", 1),), ("127.0.0.1",)),
        ((("10.0.0.5", 1),), ("10.0.0.5",)),
        ((("10.0.0.5", 1), ("127.0.0.1", 1)), ("10.0.0.5",)),
    ],
)
def test_loopback_is_spoken_on_only_by_who_listens_there_alone(
    bound: tuple[Address, ...], spoken: tuple[str, ...]
) -> None:
    announcement = Announcement(MESH, b"a" * 32, bound)
    assert announcement.interfaces(("10.0.0.5", "127.0.0.1")) == spoken


def test_nobody_is_told_an_address_that_this_machine_lost() -> None:
    assert OURS.info(("10.9.9.9",)) is None
    info = OURS.info(("10.0.0.1",))
    assert info is not None
    assert info.parsed_addresses() == ["10.0.0.1"]
    assert MESH.hex() not in str(info.properties)


def test_a_wildcard_is_reachable_at_the_own_addresses() -> None:
    own = ("10.0.0.5", "127.0.0.1")
    assert reachable_at([("0.0.0.0", 7)], own) == (("10.0.0.5", 7),)
    assert reachable_at([("0.0.0.0", 7)], ("127.0.0.1",)) == (("127.0.0.1", 7),)
    assert reachable_at([("127.0.0.1", 7), ("0.0.0.0", 8)], own) == (
        ("127.0.0.1", 7),
        ("10.0.0.5", 8),
    )


def test_this_machine_has_loopback() -> None:
    assert "127.0.0.1" in own_addresses()
