"""The envelope around every answer, and the HTTP status of an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from capability.errors import CapabilityError
from mesh.api.version import SCHEMA_VERSION
from mesh.core.errors import Denied, MeshError, Unknown

_STATUS: Final = {1: 500, 2: 400, 3: 404, 4: 409, 5: 412, 6: 403, 7: 503}


def success(data: object) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "data": data}


def failure(error: MeshError) -> dict[str, Any]:
    described = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
    }
    return {"schema_version": SCHEMA_VERSION, "error": described}


def status_of(error: MeshError) -> int:
    """The HTTP status; the exit code of a command follows from it."""
    return 504 if isinstance(error, Unknown) else _STATUS.get(error.exit_code, 500)


def as_mesh_error(error: Exception) -> MeshError:
    """What a door answers to *error*; a mistake of the program shows no more than its name."""
    if isinstance(error, MeshError):
        return error
    if isinstance(error, CapabilityError):
        return Denied(str(error))
    return MeshError(
        f"the node made a mistake: {type(error).__name__}", hint="its log says more: node.log"
    )


def dump(document: Mapping[str, Any]) -> bytes:
    """One line of UTF-8 JSON."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
