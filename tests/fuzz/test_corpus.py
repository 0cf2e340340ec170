"""What the fuzzer has found so far, run through every target: nothing breaks what it once broke."""

from __future__ import annotations

import pytest

from tests.fuzz import packed
from tests.fuzz.target import CORPUS, MODULES, find, in_time, kept, run_measured

#: All that is kept, in bytes; what is not needed for coverage is not kept.
CORPUS_BYTES_MAX = 500_000


@pytest.mark.parametrize("name", sorted(MODULES))
def test_what_is_kept_breaks_nothing(name: str) -> None:
    target = find(name)
    inputs = kept(name)
    assert inputs, "a target without a corpus"
    for path in inputs:
        with in_time():
            target.run(path.read_bytes())


@pytest.mark.parametrize("name", sorted(MODULES))
def test_what_is_kept_allocates_no_more_than_its_bound(name: str) -> None:
    target = find(name)
    for path in kept(name)[:12]:
        run_measured(target, path.read_bytes())


@pytest.mark.parametrize("name", sorted(MODULES))
def test_the_first_inputs_of_a_target_fit(name: str) -> None:
    target = find(name)
    assert target.name == name
    assert all(len(data) <= target.size_max for data in target.seeds())


def test_the_corpus_stays_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < (
        CORPUS_BYTES_MAX
    )


def test_a_mutation_keeps_messagepack_in_shape() -> None:
    value = [1, b"\x93\x01\x02\xc4\x01x", ["a", None]]
    data = packed.pack(value)
    opened = packed.unpack(data)
    assert opened == [1, [1, 2, b"x"], ["a", None]]
    assert packed.pack(opened) == data
    found = {packed.mutate(data, 200, n, lambda plain, _: plain) for n in range(50)}
    assert len(found) > 20
    assert all(isinstance(packed.unpack(changed), object) for changed in found)
