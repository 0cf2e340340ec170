"""What `join` makes of a member that refuses its ticket while others have not been asked yet."""

from __future__ import annotations

from typing import Any

import pytest

from cli.app import App
from cli.commands.joining import wait_for_copy
from mesh.core.errors import Denied

REFUSED = [{"node_id": "ab" * 32, "code": 3, "text": "this ticket has expired"}]
KEYS = {"mesh_id": "m", "node_id": "n", "entries": 1, "worknodes": 0, "state_hash": "h"}


class Scripted(App):
    """Answers with one status after the other, the last one for ever."""

    def __init__(self, *found: dict[str, Any]) -> None:
        super().__init__()
        self._found = list(found)

    def call(self, *_: Any, **__: Any) -> Any:
        return self._found.pop(0) if len(self._found) > 1 else self._found[0]


def peer(state: str, *, in_sync: bool | None = None) -> dict[str, Any]:
    return {"state": state, "in_sync": in_sync, "address": "192.0.2.1:1"}


def test_one_refusal_is_not_that_of_all_while_another_is_dialled() -> None:
    asked = {**KEYS, "peers": [peer("waiting")], "dials": [peer("dialing")], "goodbyes": REFUSED}
    let_in = {**KEYS, "peers": [peer("connected", in_sync=True)], "goodbyes": REFUSED}
    assert wait_for_copy(Scripted(asked, asked, let_in), 30.0) == KEYS


def test_a_refusal_is_told_at_once_when_nobody_else_is_dialled() -> None:
    refused = {**KEYS, "peers": [peer("waiting")], "dials": [peer("waiting")], "goodbyes": REFUSED}
    with pytest.raises(Denied, match="has expired"):
        wait_for_copy(Scripted(refused), 30.0)
