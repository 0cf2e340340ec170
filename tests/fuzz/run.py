"""
The inner half of `python -m tests.fuzz`: one target in a process of its own, under libFuzzer.

    python -m tests.fuzz.run TARGET [options of libFuzzer] [folders]

libFuzzer ends its process when it is done or has found something, so whoever wants more than its
words must be another process.
"""

from __future__ import annotations

import sys
from itertools import count
from typing import Final

import atheris

with atheris.instrument_imports(include=["crdt", "capability", "mesh"]):
    from tests.fuzz.target import find, in_time, run_measured

    TARGET: Final = find(sys.argv[1])

from tests.fuzz import packed

#: To trace allocations makes Python three times as slow, so only one input in so many is measured.
_MEASURED_EVERY: Final = 257
_executions: Final = count()


def one_input(data: bytes) -> None:
    with in_time():
        if next(_executions) % _MEASURED_EVERY:
            TARGET.run(data)
        else:
            run_measured(TARGET, data)


def mutate(data: bytes, size_max: int, seed: int) -> bytes:
    return packed.mutate(data, size_max, seed, atheris.Mutate, prefix=TARGET.prefix)


def cross(one: bytes, two: bytes, size_max: int, seed: int) -> bytes:
    return packed.cross(one, two, size_max, seed, prefix=TARGET.prefix)


def main() -> None:
    shaped = {"custom_mutator": mutate, "custom_crossover": cross}
    options = [sys.argv[0], f"-max_len={TARGET.size_max}", *sys.argv[2:]]
    atheris.Setup(options, one_input, **(shaped if TARGET.is_packed else {}))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
