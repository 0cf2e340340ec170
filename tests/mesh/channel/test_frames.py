"""Framing without a handshake: sizes, flags, assembly, and the change of keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.channel.errors import FrameError
from mesh.channel.frames import (
    CHUNK_BYTES_MAX,
    FRAME_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    Flag,
    FrameBuffer,
    FrameOpener,
    FrameSealer,
    MessageAssembler,
    chunks,
    frame,
    framed_bytes,
)
from mesh.channel.noise import CipherState
from tests.mesh.channel.helpers import cut, split_frames

EDGES = (0, 1, CHUNK_BYTES_MAX - 1, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX + 1, 2 * CHUNK_BYTES_MAX)


def make_ends(rekey_frames: int = 1 << 20) -> tuple[FrameSealer, FrameOpener]:
    key = bytes(range(32))
    return (
        FrameSealer(CipherState(key), rekey_frames),
        FrameOpener(CipherState(key), rekey_frames),
    )


def test_chunk_limit_fills_the_largest_frame() -> None:
    assert CHUNK_BYTES_MAX == 65_518
    sealer, opener = make_ends()
    wire = sealer.seal(Flag.LAST, bytes(CHUNK_BYTES_MAX))
    assert len(wire) == 2 + FRAME_BYTES_MAX
    assert opener.open(wire[2:]) == (Flag.LAST, bytes(CHUNK_BYTES_MAX))


@pytest.mark.parametrize("size", [*EDGES, MESSAGE_BYTES_MAX])
def test_chunks_are_full_and_come_together_again(size: int) -> None:
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    parts = list(chunks(message))
    assert [flag for flag, _ in parts] == [Flag.MORE] * (len(parts) - 1) + [Flag.LAST]
    assert all(len(chunk) == CHUNK_BYTES_MAX for flag, chunk in parts if flag is Flag.MORE)
    sealer, _ = make_ends()
    assert sum(len(sealer.seal(*part)) for part in parts) == framed_bytes(size)
    assembler = MessageAssembler()
    results = [assembler.add(*part) for part in parts]
    assert results == [None] * (len(parts) - 1) + [message]
    assert not assembler.is_inside


def test_message_at_its_limit_is_accepted_and_one_byte_more_refused() -> None:
    for excess in (0, 1):
        assembler = MessageAssembler()
        half = bytes(MESSAGE_BYTES_MAX // 2)
        assert assembler.add(Flag.MORE, half) is None
        if excess:
            with pytest.raises(FrameError, match=str(MESSAGE_BYTES_MAX + 1)):
                assembler.add(Flag.LAST, half + b"x")
        else:
            assert assembler.add(Flag.LAST, half) == half + half


def test_limit_holds_before_the_message_ends() -> None:
    assembler = MessageAssembler()
    assembler.add(Flag.MORE, bytes(MESSAGE_BYTES_MAX))
    with pytest.raises(FrameError, match="limit"):
        assembler.add(Flag.MORE, b"x")


def test_empty_part_that_goes_on_is_refused() -> None:
    with pytest.raises(FrameError, match="empty part"):
        MessageAssembler().add(Flag.MORE, b"")


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(0, 30)))
def test_buffer_gives_the_same_frames_for_any_cut(contents: list[bytes], sizes: list[int]) -> None:
    buffer = FrameBuffer()
    seen = []
    for piece in cut(b"".join(map(frame, contents)), sizes):
        buffer.push(piece)
        while (content := buffer.pop()) is not None:
            seen.append(content)
    assert seen == contents
    assert len(buffer) == 0


def test_length_is_known_before_the_frame_is_whole() -> None:
    buffer = FrameBuffer()
    buffer.push(b"\x01")
    assert buffer.length() is None
    buffer.push(b"\x02rest")
    assert buffer.length() == 258
    assert buffer.pop() is None


@pytest.mark.parametrize("number", [5, 128, 255])
def test_unknown_flag_is_refused(number: int) -> None:
    cipher = CipherState(bytes(range(32)))
    _, opener = make_ends()
    with pytest.raises(FrameError, match=f"unknown flag {number}"):
        opener.open(cipher.encrypt(b"", bytes([number])))


@pytest.mark.parametrize("rekey_frames", [1, 2, 3, 7])
def test_both_ends_change_keys_at_the_same_frame(rekey_frames: int) -> None:
    sealer, opener = make_ends(rekey_frames)
    plain, _ = make_ends()
    for number in range(15):
        chunk = b"%d" % number
        wire = sealer.seal(Flag.LAST, chunk)
        assert (wire == plain.seal(Flag.LAST, chunk)) == (number < rekey_frames)
        assert opener.open(wire[2:]) == (Flag.LAST, chunk)


def test_repeated_skipped_and_reordered_frames_are_refused() -> None:
    sealer, _ = make_ends()
    wire = b"".join(sealer.seal(Flag.LAST, b"%d" % number) for number in range(3))
    first, second, third = (item[2:] for item in split_frames(wire))
    for order in ([first, first], [second], [first, third], [first, second, first]):
        _, opener = make_ends()
        for content in order[:-1]:
            opener.open(content)
        with pytest.raises(FrameError, match="wrong tag"):
            opener.open(order[-1])


def test_frame_from_before_the_change_of_keys_is_refused() -> None:
    sealer, opener = make_ends(1)
    wire = sealer.seal(Flag.LAST, b"once")
    opener.open(wire[2:])
    with pytest.raises(FrameError, match="wrong tag"):
        opener.open(wire[2:])
