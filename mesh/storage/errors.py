"""
What can be wrong with a home before a node runs on it; each error names the path and the remedy.

These are light to import, because the command line meets them before it knows what it does.
"""

from __future__ import annotations

from mesh.core.errors import Conflict, NotFound, Precondition


class HomeMissing(NotFound):
    """No node lives in this folder."""

    code = "no_home"


class HomeExists(Conflict):
    """A node lives in this folder already; its identity is never overwritten."""

    code = "home_exists"


class HomeInUse(Conflict):
    """Another process runs on this home. One identity run twice would fork its own log."""

    code = "home_in_use"


class HomeRefused(Precondition):
    """Somebody else could read or replace what is in this folder."""

    code = "home_refused"


class KeyFileRefused(Precondition):
    """The key file is not private to its owner, or is not a key file."""

    code = "key_refused"
