"""The demo, and the cable that it pulls."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cli.cable import Cable
from tests.cli.machine import ROOT


def test_a_pulled_cable_carries_nothing_and_tells_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        cable = Cable(server.getsockname())
        try:
            with socket.create_connection(cable.address, timeout=10) as near:
                far = server.accept()[0]
                with far:
                    near.sendall(b"before")
                    assert far.recv(100) == b"before"
                    cable.pull()
                    near.sendall(b"meanwhile")
                    far.settimeout(0.3)
                    with pytest.raises(TimeoutError):
                        far.recv(100)
                    cable.plug()
            with socket.create_connection(cable.address, timeout=10) as again:
                again.sendall(b"after")
                with server.accept()[0] as far:
                    assert far.recv(100) == b"after"
        finally:
            cable.remove()


@pytest.mark.slow
def test_the_demo_ends_well_and_leaves_nothing(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "cli.demo"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=110,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert run.returncode == 0, run
    assert "none twice" in run.stdout
    assert list(tmp_path.iterdir()) == []
