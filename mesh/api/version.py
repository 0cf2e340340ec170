"""What this program calls itself to its peers on this machine; light to import, for the client."""

from typing import Final

VERSION: Final = "0.1.0"
#: Of the envelope, on the socket and on standard output. Keys are added, never changed.
SCHEMA_VERSION: Final = 1
#: The header in which client and node tell each other their `VERSION`.
VERSION_HEADER: Final = "Mesh-Version"
#: The path below which operations stand.
OPERATIONS_PATH: Final = "/v1/op/"
#: A body of one JSON document, and one of several, one a line.
JSON_TYPE: Final = "application/json"
LINES_TYPE: Final = "application/x-ndjson"
