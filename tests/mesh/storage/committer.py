"""
Commits numbered batches to the store in argv[1] until it is killed; prints each that it was told.

Every batch changes several tables, so that a torn one would show.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mesh.core.records import DeletePending, PutEvents, PutMeta, PutPending
from mesh.storage.sqlite import SqliteStore
from tests.mesh.storage.conformance import an_event, put


def main() -> None:
    store = SqliteStore(Path(sys.argv[1]))
    n = store.last_n()
    os.write(1, b"ready\n")
    while True:
        n += 1
        store.commit(
            [
                DeletePending((n - 1,)),
                put(n, n % 10),
                PutPending(n, b"%d" % n),
                PutEvents((an_event(n),)),
                PutMeta("a", b"%d" % n),
            ]
        )
        os.write(1, b"%d\n" % n)


if __name__ == "__main__":
    main()
