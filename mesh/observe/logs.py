"""
The node's log: one JSON line per `Log` effect, in a file that cannot grow without end.

No secret may reach it. Fields whose name says that they hold one are replaced, and bytes, which
every key and seed is, are cut to a prefix that names them and no more.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

import structlog
from attrs import define, field

from mesh.core.effects import Log

#: One file of the log; with the one before it kept, the log takes twice this.
LOG_BYTES_MAX: Final = 8 * 1024 * 1024
#: A text field's length: a peer's words may be in it.
FIELD_CHARACTERS_MAX: Final = 500
#: Bytes are shown as this many hex digits, enough to tell keys apart.
BYTES_HEX_DIGITS: Final = 16
#: An id in full is cut to the same prefix, so that it has one form in every node's log.
_ID_DIGITS: Final = frozenset({32, 64})
_HEX: Final = frozenset("0123456789abcdef")
SECRET_WORDS: Final = ("secret", "seed", "password", "passphrase", "private", "ticket", "token")


@define(eq=False)
class RotatingFile:
    """Appends lines; when the file is full it becomes NAME.1, and the NAME.1 before it goes."""

    path: Path
    bytes_max: int = LOG_BYTES_MAX
    lost_lines: int = 0
    _descriptor: int | None = None
    _bytes: int = 0

    def write(self, line: str) -> None:
        """Add *line*. A full disk loses it and is counted, since a log must not stop a node."""
        data = line.encode("utf-8", errors="backslashreplace") + b"\n"
        try:
            if self._descriptor is None or self._bytes + len(data) > self.bytes_max:
                self._open(len(data))
            assert self._descriptor is not None
            os.write(self._descriptor, data)
            self._bytes += len(data)
        except OSError:
            self.lost_lines += 1

    def _open(self, wanted: int) -> None:
        self.close()
        size = self.path.stat().st_size if self.path.exists() else 0
        if size and size + wanted > self.bytes_max:
            self.path.replace(self.path.with_name(self.path.name + ".1"))
            size = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o600)
        self._bytes = size

    def close(self) -> None:
        """Give the file back; a later line opens it again."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


def safe(name: str, value: object) -> object:
    """*value* as the log may show it."""
    if any(word in name.lower() for word in SECRET_WORDS):
        return "(hidden)"
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()[:BYTES_HEX_DIGITS]
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, tuple | list):
        return [safe(name, item) for item in value[:32]]
    text = str(value)
    if len(text) in _ID_DIGITS and not set(text) - _HEX:
        return text[:BYTES_HEX_DIGITS]
    return text if len(text) <= FIELD_CHARACTERS_MAX else text[:FIELD_CHARACTERS_MAX] + "…"


def _safe_fields(
    _logger: object, _method: str, fields: MutableMapping[str, Any]
) -> Mapping[str, Any]:
    return {name: safe(name, value) for name, value in fields.items()}


def _as_json(fields: object, **_options: object) -> str:
    return json.dumps(fields, ensure_ascii=False)


@define(eq=False)
class NodeLog:
    """Writes `Log` effects; one for each node, so that two nodes in a process do not mix."""

    file: RotatingFile
    least: int = logging.INFO
    #: Stand in every line: whose it is, when the logs of several nodes are read together.
    ids: Mapping[str, bytes] = field(factory=dict)
    _logger: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._logger = structlog.wrap_logger(
            self.file,
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
                _safe_fields,
                structlog.processors.EventRenamer("event"),
                structlog.processors.JSONRenderer(serializer=_as_json),
            ],
            wrapper_class=_Lines,
            cache_logger_on_first_use=True,
        )

    @classmethod
    def at(
        cls, path: Path, *, level: str = "info", ids: Mapping[str, bytes] | None = None
    ) -> NodeLog:
        """A log in the file *path*, which is made when the first line is written."""
        return cls(RotatingFile(path), least=_number(level), ids=ids or {})

    def __call__(self, line: Log) -> None:
        """Write *line* unless it is below the least level."""
        if _number(line.level) >= self.least:
            self._logger.line(line, self.ids)

    def close(self) -> None:
        """Give the file back."""
        self.file.close()


class _Lines(structlog.BoundLoggerBase):
    """Hands a `Log` to the processors as it is, with its fields beside its event and level."""

    def line(self, line: Log, ids: Mapping[str, bytes]) -> None:
        # A line's own names win: a field may not pass itself off as another event or node.
        fields = {**dict(line.fields), "level": line.level, **ids}
        fields.pop("event", None)
        self._proxy_to_logger("write", line.event, **fields)


def _number(level: str) -> int:
    return logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
