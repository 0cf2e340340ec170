"""A recording replays to the same effects, and a difference is found."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from attrs import define

from mesh.core.effects import Log
from mesh.core.errors import Conflict, MeshError, StorageError
from mesh.core.inputs import (
    DialFailed,
    Found,
    LinkOpened,
    Measured,
    Now,
    Received,
    Seal,
    Submit,
)
from mesh.core.records import PutEvents, PutMeta
from mesh.core.writes import Create, SetRegister
from mesh.node import structure
from mesh.node.driver import Driver
from mesh.node.recorder import INPUTS, Recorder, frames
from mesh.node.replay import ReplayResult, replay_with
from tests.mesh.node.helpers import DISK_FULL, EchoEngine, FakeLinks, FakeStore, inline


@define(eq=False)
class FileStore(FakeStore):
    """A small store that can be copied: the database is the count in a file."""

    def backup_to(self, path: Path) -> None:
        path.write_bytes(self.metas.get("count", b"0"))

    def close(self) -> None:
        pass

    @classmethod
    def open(cls, path: Path) -> FileStore:
        return cls(metas={"count": path.read_bytes()})


def replay(folder: Path, engine: type[EchoEngine] = EchoEngine) -> ReplayResult:
    return replay_with(
        folder,
        open_store=FileStore.open,
        load=lambda store, _extra, _now: engine.load(store),
        state_hash=lambda e: b"%d" % e.count,
    )


async def record(folder: Path, *, breaks: bool = False) -> None:
    store = FileStore(metas={"count": b"5"})
    lines: list[Log] = []
    recorder = Recorder.create(folder, store, seed=7, extra=("x",), log=lines.append)
    driver = Driver(
        EchoEngine.load(store),
        load=lambda _now: EchoEngine.load(store),
        store=store,
        links=FakeLinks(),
        emit=lambda _: None,
        log=lines.append,
        recorder=recorder,
        in_thread=inline,
    )

    async def submit() -> None:
        writes = (Create(b"p" * 16, "task", nonce=b"n" * 16), SetRegister(b"n" * 16, 0, "t", "v"))
        await driver.request(lambda n: Submit(n, writes))

    async with trio.open_nursery() as nursery:
        await nursery.start(driver.run)
        await submit()
        for item in (
            LinkOpened(1, b"k" * 32, True, ("h", 1), b"h" * 32),
            Received(1, b"bad"),
            Received(1, b"x" * 1000),
            Measured(1, 0.1 + 0.2),
            DialFailed(("h", 2), "no"),
            Found(("h", 3), "mdns"),
        ):
            await driver.inbox.put(item)
        await submit()
        if breaks:
            store.broken = DISK_FULL
            with pytest.raises(StorageError):
                await submit()
            store.broken = None
            with pytest.raises(MeshError, match="ZeroDivisionError"):
                await driver.request(Seal)
            await trio.sleep(5)
        await submit()
        nursery.cancel_scope.cancel()
    recorder.close(b"%d" % driver.engine.count)
    assert lines[-1].event != "recorder.stopped"


@pytest.mark.parametrize("breaks", [False, True])
async def test_a_recording_replays_to_the_same(
    tmp_path: Path, autojump_clock: object, *, breaks: bool
) -> None:
    await record(tmp_path / "r", breaks=breaks)
    result = replay(tmp_path / "r")
    assert result.mismatch is None
    assert result.state_hash == result.recorded_state_hash == b"8"
    assert result.batches >= 3
    assert result.inputs >= 9
    # Nothing of the recording was changed by it.
    assert replay(tmp_path / "r") == result


async def test_another_engine_is_found_out(tmp_path: Path, autojump_clock: object) -> None:
    class Other(EchoEngine):
        def _submit(self, request: int, level: str) -> list[object]:
            self.count += 1
            return super()._submit(request, level)

    await record(tmp_path / "r")
    result = replay(tmp_path / "r", Other)
    assert not result.is_equal
    assert "other effects" in (result.mismatch or "")


async def test_a_recording_that_a_crash_cut_short_replays_to_there(
    tmp_path: Path, autojump_clock: object
) -> None:
    await record(tmp_path / "r")
    path = tmp_path / "r" / INPUTS
    path.write_bytes(path.read_bytes()[:-20])
    result = replay(tmp_path / "r")
    assert result.mismatch is None
    assert result.recorded_state_hash == b""


async def test_a_recording_is_bounded_and_says_so(tmp_path: Path) -> None:
    lines: list[Log] = []
    recorder = Recorder.create(tmp_path / "r", FileStore(), seed=1, extra=(), log=lines.append)
    recorder.bytes_max = 2_000
    for _ in range(100):
        recorder.told(Now(1, 2), Received(1, b"x" * 100))
    recorder.close()
    assert [line.event for line in lines] == ["recorder.stopped"]
    assert (tmp_path / "r" / INPUTS).stat().st_size < 3_000
    assert list(frames(tmp_path / "r" / INPUTS))[-1] == ("full",)


@pytest.mark.parametrize("value", ["\ud800", 1 << 70])
def test_nonsense_ends_the_recording_and_not_the_node(tmp_path: Path, value: object) -> None:
    lines: list[Log] = []
    recorder = Recorder.create(tmp_path / "r", FileStore(), seed=1, extra=(), log=lines.append)
    for _ in range(2):
        recorder.told(Now(1, 2), Submit(1, (SetRegister(b"n" * 16, 0, "t", value),)))
    recorder.close()
    assert [line.event for line in lines] == ["recorder.stopped"]
    assert [frame[0] for frame in frames(tmp_path / "r" / INPUTS)] == ["record"]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note").touch()
    with pytest.raises(Conflict):
        Recorder.create(tmp_path, FileStore(), seed=1, extra=(), log=lambda _: None)


@pytest.mark.parametrize(
    "thing",
    [
        Measured(3, 1e-300),
        Submit(1, (SetRegister(b"n" * 16, 0, "t", (0, (1, "a", b"b", None, True))),)),
        LinkOpened(1, b"k", False, None, b"h"),
        Received(1, bytes(1 << 20)),
    ],
)
def test_inputs_survive_being_packed(thing: object) -> None:
    assert structure.unpack(structure.pack(thing)) == thing


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", structure.pack(PutMeta("k", b"v")), b"\x92\xa1@\xa1X"]
)
def test_a_foreign_recording_is_a_storage_error(data: bytes) -> None:
    with pytest.raises(StorageError):
        structure.unpack(data)


def test_a_digest_covers_every_effect_and_their_order() -> None:
    one, two = PutMeta("a", b"1"), PutEvents(())
    digests = {structure.digest(x) for x in ([one, two], [two, one], [one], [one, {"a": 1}], [])}
    assert len(digests) == 5
    assert structure.digest([{"b": 1, "a": 2.0}]) == structure.digest([{"a": 2.0, "b": 1}])
