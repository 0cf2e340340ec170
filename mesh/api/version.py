"""How client and node speak to each other on this machine; light to import, for the client."""

from typing import Final

from mesh.core.version import VERSION

__all__ = [
    "JSON_TYPE",
    "LINES_TYPE",
    "OPERATIONS_PATH",
    "SCHEMA_VERSION",
    "VERSION",
    "VERSION_HEADER",
]

#: Of the envelope, on the socket and on standard output. Keys are added, never changed.
SCHEMA_VERSION: Final = 1
#: The header in which client and node tell each other their `VERSION`.
VERSION_HEADER: Final = "Mesh-Version"
#: The path below which operations stand.
OPERATIONS_PATH: Final = "/v1/op/"
#: A body of one JSON document, and one of several, one a line.
JSON_TYPE: Final = "application/json"
LINES_TYPE: Final = "application/x-ndjson"
