"""Machines whose processes do not outlive the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.machine import APART, Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Callable[[str], Machine]]:
    with ExitStack() as stack:

        def make(name: str) -> Machine:
            made = Machine(tmp_path / name)
            stack.callback(made.end)
            return made

        yield make


@pytest.fixture
def founded(machine: Callable[[str], Machine]) -> Machine:
    """A mesh whose one node does not run."""
    made = machine("one")
    made.ok("init", "--name", "acme")
    return made


@pytest.fixture
def running(founded: Machine) -> Machine:
    """A mesh whose one node runs."""
    founded.ok("up", *APART)
    return founded
