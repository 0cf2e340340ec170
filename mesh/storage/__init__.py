"""
What a node keeps on disk: the log and its companions in SQLite, its key, its lock, its home folder.

The names are resolved when they are first asked for: the command line needs `Home`, which is
light, and must not load the stores, which bring the whole entry format with them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mesh.storage.errors import (
        HomeExists,
        HomeInUse,
        HomeMissing,
        HomeRefused,
        KeyFileRefused,
    )
    from mesh.storage.home import Home, HomeLock, default_home
    from mesh.storage.keyfile import create_key, disable_core_dumps, read_key
    from mesh.storage.memory import MemoryStore
    from mesh.storage.sqlite import SqliteStore

__all__ = [
    "Home",
    "HomeExists",
    "HomeInUse",
    "HomeLock",
    "HomeMissing",
    "HomeRefused",
    "KeyFileRefused",
    "MemoryStore",
    "SqliteStore",
    "create_key",
    "default_home",
    "disable_core_dumps",
    "read_key",
]

_MODULES: Final = {
    "errors": ("HomeExists", "HomeInUse", "HomeMissing", "HomeRefused", "KeyFileRefused"),
    "home": ("Home", "HomeLock", "default_home"),
    "keyfile": ("create_key", "disable_core_dumps", "read_key"),
    "memory": ("MemoryStore",),
    "sqlite": ("SqliteStore",),
}
_MODULE_OF: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
