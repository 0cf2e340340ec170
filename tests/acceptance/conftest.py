"""Networks and machines, taken away again after each test, also one that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.acceptance import netns
from tests.acceptance.machine import Machine

Networks = Callable[[Sequence[str]], list[netns.Host]]
Machines = Callable[[str], Machine]


@cache
def _why_not() -> str:
    return netns.why_not()


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Networks]:
    """Makes hosts of the given names on one switch."""
    if _why_not():
        pytest.skip(_why_not())
    lan = netns.Lan(tmp_path)
    try:
        yield lan.build
    finally:
        lan.clean()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machines]:
    """Makes homes on this machine, whose nodes talk over loopback."""
    made: list[Machine] = []

    def make(name: str) -> Machine:
        made.append(Machine(name, tmp_path / name))
        return made[-1]

    try:
        yield make
    finally:
        for each in made:
            each.kill()
