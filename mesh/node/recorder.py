"""
A recording: a copy of the database, and everything the engine was told after it.

    mesh.db       the database as it was when the recording began
    inputs.rec    frames of [length u32][packed tuple]:
        ("record", version, seed of the random numbers, extra)
        ("loaded", mono_ms, wall_ms)                the engine was built from the database
        ("start", mono_ms, wall_ms)
        ("input", mono_ms, wall_ms, input)
        ("flush", mono_ms, wall_ms, digest)         of all effects of the batch
        ("commit", durable)
        ("full",)  ("end", state hash)

A recording holds what peers and users have written, so it is as private as the home. It has a
greatest size; a disk that refuses, or an input that has no form, ends the recording, not the node.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from attrs import define

from crdt.errors import CodecError
from mesh.core.effects import Effect, Log
from mesh.core.errors import Conflict, StorageError
from mesh.core.inputs import Input, Now
from mesh.node.ports import StorePort
from mesh.node.structure import digest, pack, unpack

VERSION: Final = 1
DATABASE: Final = "mesh.db"
INPUTS: Final = "inputs.rec"
#: Guess: hours of a busy node.
RECORD_BYTES_MAX: Final = 1024 * 1024 * 1024
_LENGTH_BYTES: Final = 4


@define(eq=False)
class Recorder:
    """Writes one recording; see `Recorder.create`."""

    _file: BinaryIO | None
    _log: Callable[[Log], None]
    bytes_max: int = RECORD_BYTES_MAX
    bytes_written: int = 0

    @classmethod
    def create(
        cls,
        folder: Path,
        store: StorePort,
        *,
        seed: int,
        extra: tuple[object, ...],
        log: Callable[[Log], None],
    ) -> Recorder:
        """
        Begin a recording in *folder*, which must be new or empty. Cost: copies the database.

        Args:
            folder: Made with mode 0700 if it is not there.
            store: What to copy; nothing may be committed to it meanwhile.
            seed: Of the engine's random numbers.
            extra: What the engine was given besides; strings, numbers, bytes, tuples.
            log: Told when the recording has to end early.

        Raises:
            Conflict: There is something in *folder*.
            StorageError: The disk refused.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise Conflict(f"{folder} is not empty", hint="record into a new folder")
            store.backup_to(folder / DATABASE)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            file = os.fdopen(os.open(folder / INPUTS, flags, 0o600), "wb")
        except OSError as error:
            raise StorageError(f"{folder}: cannot record: {error.strerror}") from error
        recorder = cls(file, log)
        recorder._write(("record", VERSION, seed, extra))
        return recorder

    def loaded(self, now: Now) -> None:
        """The engine was built from disk."""
        self._write(("loaded", now.mono_ms, now.wall_ms))

    def told(self, now: Now, item: Input | None) -> None:
        """An input, or None for `start`."""
        if item is None:
            self._write(("start", now.mono_ms, now.wall_ms))
        else:
            self._write(("input", now.mono_ms, now.wall_ms, item))

    def flushed(self, now: Now, effects: list[Effect]) -> None:
        """The end of a batch, with all its effects."""
        if self._file is not None:
            self._write(("flush", now.mono_ms, now.wall_ms, digest(effects)))

    def committed(self, *, is_durable: bool) -> None:
        """How its commit ended."""
        self._write(("commit", is_durable))
        self._guard(lambda file: file.flush())

    def close(self, state_hash: bytes = b"") -> None:
        """End the recording; a replay compares *state_hash*."""
        self._write(("end", state_hash))
        if self._file is not None:
            self._guard(lambda file: file.close())
            self._file = None

    def _write(self, frame: tuple[object, ...]) -> None:
        if self._file is None:
            return
        try:
            data = pack(frame)
        except CodecError as error:
            # What a program asks of its node may be nonsense, which the engine refuses.
            self._stop(f"an input cannot be written down: {error}")
            return
        if self.bytes_written + len(data) > self.bytes_max:
            full = pack(("full",))
            self._guard(lambda file: file.write(len(full).to_bytes(_LENGTH_BYTES, "big") + full))
            self._stop("the recording has reached its greatest size")
            return
        self.bytes_written += _LENGTH_BYTES + len(data)
        self._guard(lambda file: file.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data))

    def _guard(self, act: Callable[[BinaryIO], object]) -> None:
        if self._file is None:
            return
        try:
            act(self._file)
        except OSError as error:
            self._stop(f"the disk refused: {error.strerror}")

    def _stop(self, reason: str) -> None:
        self._log(Log("warning", "recorder.stopped", (("reason", reason),)))
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                return


def frames(path: Path) -> Iterator[tuple[object, ...]]:
    """
    The frames of a recording; a last one that was cut short by a crash is left out.

    Raises:
        StorageError: The file cannot be read, or is of another version.
    """
    try:
        with path.open("rb") as file:
            while len(head := file.read(_LENGTH_BYTES)) == _LENGTH_BYTES:
                size = int.from_bytes(head, "big")
                data = file.read(size)
                if len(data) < size:
                    return
                frame = unpack(data)
                assert isinstance(frame, tuple)
                yield frame
    except OSError as error:
        raise StorageError(f"{path}: cannot read the recording: {error.strerror}") from error
