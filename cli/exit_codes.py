"""The exit codes, and how the answers of a node map to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MEANINGS: Final[Mapping[int, str]] = {
    0: "done; an empty result is done, too",
    1: "error: something failed that none of the others names",
    2: "usage: the command or an argument is not understood, or a name means several things",
    3: "not found: no Worknode, peer or mesh answers to that name",
    4: "conflict: it exists already, it is in use, or somebody else was first",
    5: "precondition: the state of the node, the Worknode or the ticket does not allow it now",
    6: "denied: no capability of this node covers it",
    7: "unavailable or timed out; trying again is right",
}

_OF_STATUS: Final = {400: 2, 403: 6, 404: 3, 409: 4, 412: 5, 413: 2, 503: 7, 504: 7}


def of_status(status: int) -> int:
    """The exit code for the status of an HTTP answer."""
    if 200 <= status < 300:
        return 0
    return _OF_STATUS.get(status, 1)
