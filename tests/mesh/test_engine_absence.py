"""
Two members who were apart for days, and both worked: what it takes to bring them together.

Bounds on bytes, round trips, memory, and on what is sent twice when the line breaks.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from attrs import define, field

from capability.entry import LANE_DATA
from mesh.core.effects import Effect, Send
from mesh.core.inputs import Received
from mesh.core.limits import WINDOW_BYTES
from mesh.core.writes import Append, Increment, SetRegister, Write
from mesh.gossip.messages import Entries, Hello, Push
from mesh.wire import Unknown, decode_message
from tests.mesh.swarm import check
from tests.mesh.swarm.host import Host
from tests.mesh.swarm.scenes import pair
from tests.mesh.swarm.world import World

FEW, MANY = 1_000, 10_000
#: Between two writes of one agent: ten thousand of them take six days.
PAUSE_MS = 52_000
#: Everything that is sent, beside the entries that are missing.
BYTES_FACTOR = 1.2
ROUND_TRIPS_MAX = 2.0
ONE_WAY_MS = 50
CUTS = 10
REPAIR_MS = 600_000


@define
class Meter:
    """What goes over the wire of a world, and when."""

    world: World
    sent_bytes: int = 0
    entries_bytes: int = 0
    #: The most that was under way to one host at once.
    most_under_way: int = 0
    most_deferred: int = 0
    hello_ms: dict[str, int] = field(factory=dict)
    #: When the first entries arrived at a host.
    data_ms: dict[str, int] = field(factory=dict)

    def start(self) -> None:
        effect = self.world._effect

        def measured(host: Host, item: Effect) -> None:
            effect(host, item)
            if isinstance(item, Send):
                self._note(host, item.data)

        for host in self.world.hosts.values():
            host.network = measured

    def _note(self, host: Host, data: bytes) -> None:
        message = decode_message(data, size_max=len(data))
        assert not isinstance(message, Unknown)
        self.sent_bytes += len(data)
        other = next(name for name in self.world.hosts if name != host.name)
        if isinstance(message, Hello):
            self.hello_ms.setdefault(host.name, self.world.now_ms)
        if isinstance(message, Entries | Push) and message.entries:
            self.entries_bytes += sum(map(len, message.entries))
            self.data_ms.setdefault(other, self.world.now_ms + ONE_WAY_MS)
        for pipe in self.world.pipes.values():
            waiting = (i.data for _, i in pipe.queue if isinstance(i, Received))
            self.most_under_way = max(self.most_under_way, sum(map(len, waiting)))
        for each in self.world.up:
            deferred = each.engine.replica.admission.deferred
            self.most_deferred = max(self.most_deferred, len(deferred))

    def round_trips(self, name: str) -> float:
        """Round trips from when the hellos had arrived until entries arrived at a host."""
        ready_ms = max(self.hello_ms.values()) + ONE_WAY_MS
        return (self.data_ms[name] - ready_ms) / (2 * ONE_WAY_MS)


def apart(count: int, monkeypatch: pytest.MonkeyPatch) -> tuple[World, Meter, int]:
    """Ann and Bob, parted, after so many writes of each: and how many bytes each lacks in all."""
    monkeypatch.setattr("tests.mesh.swarm.world.LATENCY_MS", (ONE_WAY_MS, ONE_WAY_MS))
    world, ann, bob, node = pair()
    world.partition(["ann"], ["bob"])
    world.run(5_000)
    for number in range(count):
        for host in (ann, bob):
            assert host.write(_write(node, f"{host.name} {number}", number)).error is None
        world.now_ms += PAUSE_MS
    meter = Meter(world)
    meter.start()
    missing = sum(
        len(item.entry.encode())
        for host in (ann, bob)
        for item in host.store.entries()
        if item.entry.header.author == host.signer.public
        and item.entry.header.lane == LANE_DATA
        and item.entry.id in set(host.acknowledged[-count:])
    )
    return world, meter, missing


def _write(node: bytes, text: str, number: int) -> Write:
    match number % 3:
        case 0:
            return SetRegister(node, 0, "title", text)
        case 1:
            return Increment(node, 0, "spent", number)
        case _:
            return Append(node, 0, "notes", text)


def _reunion(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world, meter, missing = apart(count, monkeypatch)
    world.heal()
    check.converges(world, within_ms=REPAIR_MS)
    check.nothing_lost(world)
    print(
        f"{count} writes each: {meter.sent_bytes:,} bytes for {missing:,} that were missing "
        f"(×{meter.sent_bytes / missing:.3f}); data after "
        f"{max(map(meter.round_trips, world.hosts)):.1f} round trips; at most "
        f"{meter.most_under_way:,} bytes under way"
    )
    assert meter.entries_bytes == missing, "each once"
    assert meter.sent_bytes <= BYTES_FACTOR * missing
    for name in world.hosts:
        assert meter.round_trips(name) <= ROUND_TRIPS_MAX
    assert meter.most_under_way <= 2 * WINDOW_BYTES
    assert meter.most_deferred == 0


def test_reunion_after_days(monkeypatch: pytest.MonkeyPatch) -> None:
    _reunion(FEW, monkeypatch)


@pytest.mark.slow
def test_reunion_after_days_and_ten_thousand_writes_each(monkeypatch: pytest.MonkeyPatch) -> None:
    _reunion(MANY, monkeypatch)


def _broken_reunion(count: int, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pull", "serve"):
        monkeypatch.setattr(f"mesh.gossip.{module}.WINDOW_BYTES", window)
    world, meter, missing = apart(count, monkeypatch)
    held = [_held(world)]
    world.heal()
    for cut in range(1, CUTS + 1):
        target = held[0] + 2 * count * cut // (CUTS + 1)
        assert world.run(REPAIR_MS, until=lambda: _held(world) >= target)  # noqa: B023
        world.partition(["ann"], ["bob"])
        world.run(1_000)
        world.heal()
        held.append(_held(world))
    check.converges(world, within_ms=REPAIR_MS)
    check.nothing_lost(world)
    assert all(later > before for before, later in pairwise(held)), "it goes on where it was"
    again = meter.entries_bytes - missing
    print(f"{CUTS} cuts: {again:,} bytes of entries sent again, a window is {window:,}")
    # A cut may lose the window that was under way, in each direction.
    assert again <= 2 * CUTS * window
    assert meter.sent_bytes <= BYTES_FACTOR * (missing + again)
    assert meter.most_deferred == 0


def _held(world: World) -> int:
    return sum(host.engine.replica.table.last for host in world.hosts.values())


def test_reunion_that_is_interrupted_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    _broken_reunion(FEW, WINDOW_BYTES // 16, monkeypatch)


@pytest.mark.slow
def test_long_reunion_that_is_interrupted_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    _broken_reunion(MANY, WINDOW_BYTES, monkeypatch)
