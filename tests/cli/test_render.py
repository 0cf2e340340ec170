"""What people read, where it is made of more than one value."""

from __future__ import annotations

from cli import render


def test_nobody_known_is_said() -> None:
    assert render.peers([]) == "no peers known"
