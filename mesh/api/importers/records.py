"""
Lines of a tracker's export, read one by one: what each issue says, or why the line is left out.

Nothing in a file may stop an import. A line that is too long, no UTF-8, no JSON or of another form
is reported with its number and reason; the others go on. What a field holds is turned into values
of the mesh here, so that the plan only compares and writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import field, frozen

from capability.values import TAG_PAIRS, Value
from crdt.codec import encode
from crdt.errors import CrdtError
from mesh.core.errors import UsageError
from mesh.core.limits import TEXT_BYTES_MAX
from mesh.worknode.compose import TITLE_BYTES_MAX
from mesh.worknode.text import from_json, instant_value, parse_nanoseconds

#: A longer line is left out, and never held in memory whole.
LINE_BYTES_MAX: Final = 1024 * 1024
#: Issues that one file may hold; what comes after is reported and left out.
ISSUES_MAX: Final = 1_000_000
#: Source ids beyond this are a mistake, not ids.
ID_BYTES_MAX: Final = 1_024
#: Longer texts are cut, and that is reported. Below the bound of one value by its overhead.
KEPT_BYTES_MAX: Final = TEXT_BYTES_MAX - 1_024
#: Keys that the mesh has no field for are kept together up to this size.
EXTRA_BYTES_MAX: Final = 16 * 1024

#: The tracker's words for the state of an issue, and what they become here.
STATUSES: Final[Mapping[str, str]] = {
    "open": "pending",
    "in_progress": "pending",
    "closed": "completed",
    "tombstone": "cancelled",
}
_TEXTS: Final = {
    "description": "description",
    "design": "design",
    "acceptance_criteria": "acceptance_criteria",
    "notes": "notes",
    "external_ref": "external_ref",
    "close_reason": "close_reason",
    "issue_type": "type",
    "status": "source_status",
}
_INSTANTS: Final = {
    "created_at": "created_at",
    "updated_at": "updated_at",
    "closed_at": "closed_at",
    "due_at": "due",
}
_READ: Final = frozenset(
    {"id", "title", "priority", "estimated_minutes", "assignee", "labels", "dependencies"}
    | {"comments"}
    | _TEXTS.keys()
    | _INSTANTS.keys()
)


@frozen
class Remark:
    """What is to be said about one line of the file."""

    line: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The form of the command line's report."""
        return {"line": self.line, "reason": self.reason}


@frozen
class Link:
    """A dependency of the source: this issue and *target*, by the source's word for it."""

    type: str
    target: str


@frozen
class Issue:
    """One line of the file, in values of the mesh."""

    line: int
    id: str
    updated_ns: int | None
    registers: Mapping[str, Value]
    sets: Mapping[str, tuple[Value, ...]]
    links: tuple[Link, ...]
    comments: tuple[Value, ...]
    warnings: tuple[str, ...] = field(default=())


class BadLine(ValueError):
    """A line cannot be taken for an issue; the message is the reason for people."""


def read_lines(source: bytes | Iterable[bytes]) -> tuple[list[Issue], list[Remark]]:
    """
    All issues of a file, and what was left out and why.

    Args:
        source: The whole file, or pieces of it of any size, such as a file opened in binary mode.
    """
    issues: list[Issue] = []
    skipped: list[Remark] = []
    for line, data in _lines((source,) if isinstance(source, bytes) else source):
        if data is not None and not data.strip():
            continue
        try:
            issues.append(_read_bounded(line, data, len(issues)))
        except BadLine as error:
            skipped.append(Remark(line, str(error)))
    return issues, skipped


def _read_bounded(line: int, data: bytes | None, read: int) -> Issue:
    if data is None:
        raise BadLine(f"longer than {LINE_BYTES_MAX} bytes")
    if read >= ISSUES_MAX:
        raise BadLine(f"after the {ISSUES_MAX} issues that one import takes")
    return read_issue(line, data)


def _lines(pieces: Iterable[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Lines with their numbers from 1 on; None for one that is too long."""
    number, kept, too_long = 1, b"", False
    for piece in pieces:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            fits = not too_long and len(kept) + end - start <= LINE_BYTES_MAX
            yield number, kept + piece[start:end] if fits else None
            number, kept, too_long, start = number + 1, b"", False, end + 1
        if too_long or len(kept) + len(piece) - start > LINE_BYTES_MAX:
            kept, too_long = b"", True
        else:
            kept += piece[start:]
    if kept or too_long:
        yield number, None if too_long else kept


def read_issue(line: int, data: bytes) -> Issue:
    """
    One line as an issue.

    Raises:
        BadLine: It is none; the message says why.
    """
    found = _object(data)
    source_id = _text(found, "id")
    if not source_id:
        raise BadLine("no id")
    if len(source_id.encode()) > ID_BYTES_MAX:
        raise BadLine(f"an id longer than {ID_BYTES_MAX} bytes")
    warnings: list[str] = []
    registers: dict[str, Value] = {
        "title": _title(found, source_id, warnings),
        "source_id": source_id,
        "priority": _priority(found, warnings),
        "estimate": _estimate(found),
        "source_extra": _extra(found, warnings),
    }
    for key, name in _TEXTS.items():
        registers[name] = _cut(key, _text(found, key), KEPT_BYTES_MAX, warnings)
    times = {name: _instant(found, key) for key, name in _INSTANTS.items()}
    for name, nanoseconds in times.items():
        if nanoseconds is not None:
            registers[name] = instant_value(nanoseconds // 1_000_000)
    status = registers["source_status"]
    registers["status"] = STATUSES.get(status, "pending") if isinstance(status, str) else "pending"
    assignee = _text(found, "assignee")
    return Issue(
        line=line,
        id=source_id,
        updated_ns=times["updated_at"],
        registers={name: value for name, value in registers.items() if value is not None},
        sets={"labels": _labels(found), "assignees": (assignee,) if assignee else ()},
        links=_links(found, source_id, warnings),
        comments=_comments(found, warnings),
        warnings=tuple(warnings),
    )


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data.decode("utf-8-sig"))
        # A half of a surrogate pair is JSON, but no text that can be written down again.
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeError as error:
        raise BadLine("not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise BadLine(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadLine(f"not an object but {type(found).__name__}")
    return found


def _text(found: Mapping[str, Any], key: str) -> str | None:
    value = found.get(key)
    if value is not None and not isinstance(value, str):
        raise BadLine(f"{key} is not a text but {value!r:.40}")
    return value or None


def _integer(found: Mapping[str, Any], key: str) -> int | None:
    value = found.get(key)
    if value is not None and type(value) is not int:
        raise BadLine(f"{key} is not a whole number but {value!r:.40}")
    return value


def _rows(found: Mapping[str, Any], key: str, form: type) -> list[Any]:
    rows = found.get(key)
    if rows is None:
        return []
    if not isinstance(rows, list) or not all(isinstance(row, form) for row in rows):
        raise BadLine(f"{key} is not a list of {form.__name__}")
    return rows


def _instant(found: Mapping[str, Any], key: str) -> int | None:
    text = _text(found, key)
    if text is None:
        return None
    try:
        return parse_nanoseconds(text)
    except (ValueError, OverflowError) as error:
        raise BadLine(f"{key} is not an instant with its zone: {text!r:.40}") from error


def _cut(key: str, text: str | None, most: int, warnings: list[str]) -> str | None:
    if text is None or len(text.encode()) <= most:
        return text
    warnings.append(f"{key} of {len(text.encode())} bytes is cut to {most}")
    return text.encode()[:most].decode(errors="ignore")


def _title(found: Mapping[str, Any], source_id: str, warnings: list[str]) -> str:
    line = " ".join((_text(found, "title") or "").split())
    return _cut("title", line or source_id, TITLE_BYTES_MAX, warnings) or source_id


def _priority(found: Mapping[str, Any], warnings: list[str]) -> int | None:
    # Exporters of the tracker left zeros out for a time, and its own reader takes absence as zero.
    priority = 0 if found.get("priority") is None else _integer(found, "priority")
    if priority is None or 0 <= priority <= 4:
        return priority
    warnings.append(f"priority {priority} is not 0 to 4 and left out")
    return None


def _estimate(found: Mapping[str, Any]) -> int | None:
    minutes = _integer(found, "estimated_minutes")
    return 60 * minutes if minutes is not None and 0 <= minutes < 1 << 40 else None


def _labels(found: Mapping[str, Any]) -> tuple[Value, ...]:
    labels = (label.strip() for label in _rows(found, "labels", str))
    return tuple(sorted({label for label in labels if label}))


def _links(found: Mapping[str, Any], source_id: str, warnings: list[str]) -> tuple[Link, ...]:
    links: dict[Link, None] = {}
    for row in _rows(found, "dependencies", dict):
        target, owner = _text(row, "depends_on_id"), _text(row, "issue_id")
        if target is None:
            raise BadLine("a dependency without depends_on_id")
        if owner is not None and owner != source_id:
            warnings.append(f"a dependency of {owner} is left out")
        elif target == source_id:
            warnings.append("a dependency on itself is left out")
        else:
            links[Link(_text(row, "type") or "blocks", target)] = None
    return tuple(links)


def _comments(found: Mapping[str, Any], warnings: list[str]) -> tuple[Value, ...]:
    comments: list[Value] = []
    for row in _rows(found, "comments", dict):
        text = _cut("a comment", _text(row, "text"), KEPT_BYTES_MAX, warnings)
        if text is None:
            continue
        at, author = _instant(row, "created_at"), _text(row, "author")
        pairs: list[Value] = []
        if at is not None:
            pairs.append(("at", instant_value(at // 1_000_000)))
        if author is not None:
            pairs.append(("author", _cut("an author", author, TITLE_BYTES_MAX, warnings)))
        comments.append((TAG_PAIRS, *pairs, ("text", text)))
    return tuple(comments)


def _extra(found: Mapping[str, Any], warnings: list[str]) -> Value:
    """What the file says and the mesh has no field for: kept as it stands."""
    rest = {key: found[key] for key in found if key not in _READ and found[key] is not None}
    if not rest:
        return None
    try:
        value = from_json(rest)
        size = len(encode(value))
    except (UsageError, CrdtError) as error:
        warnings.append(f"other keys are left out: {error}")
        return None
    if size > EXTRA_BYTES_MAX:
        warnings.append(f"other keys of {size} bytes are left out, more than {EXTRA_BYTES_MAX}")
        return None
    return value
