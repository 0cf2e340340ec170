"""
A cable that can be pulled without root: a relay of TCP connections on loopback, for the demo.

Pulled, it carries nothing in either direction and tells nobody, as a real one: both ends believe
in their connection until their heart-beats stay unanswered. New connections get as far as the
kernel takes them, and no further.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Final

_CHUNK: Final = 64 * 1024
#: How often a waiting end looks whether the cable was pulled or is gone.
_LOOK_S: Final = 0.05


class Cable:
    """Relays every connection to `address` on to *target*, while it is plugged in."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._plugged = threading.Event()
        self._plugged.set()
        self._gone = False
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_LOOK_S)
        self.address: tuple[str, int] = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def text(self) -> str:
        """Its near end as HOST:PORT."""
        return f"{self.address[0]}:{self.address[1]}"

    def pull(self) -> None:
        """Carry nothing any more."""
        self._plugged.clear()

    def plug(self) -> None:
        """Carry again; connections from before are dead."""
        ends, self._ends = self._ends, []
        for end in ends:
            end.close()
        self._plugged.set()

    def remove(self) -> None:
        """Close everything."""
        self._gone = True
        self._listener.close()
        self.plug()

    def _accept(self) -> None:
        while not self._gone:
            if not self._plugged.wait(_LOOK_S):
                continue
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            try:
                far = socket.create_connection(self._target, timeout=1.0)
            except OSError:
                near.close()
                continue
            near.settimeout(_LOOK_S)
            far.settimeout(_LOOK_S)
            # From here on `plug` may close them at any time.
            self._ends += [near, far]
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not self._gone:
                if not self._plugged.wait(_LOOK_S):
                    continue
                try:
                    data = one.recv(_CHUNK)
                except TimeoutError:
                    continue
                if not data:
                    break
                # Pulled while it was on its way: lost, and `plug` will end the connection.
                if self._plugged.is_set():
                    other.sendall(data)
        one.close()
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)
