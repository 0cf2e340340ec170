"""A real tracker's export, imported on one machine, is whole and right on all three."""

from __future__ import annotations

import time

import pytest

from tests.acceptance import tracker
from tests.acceptance.conftest import Networks
from tests.acceptance.machine import wait_equal
from tests.acceptance.test_three_machines import form

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120)]

LINES = 910
ISSUES = 898
IMPORT_S_MAX = 60.0
SPREAD_S_MAX = 15.0


@pytest.mark.skipif(not tracker.MEDIUM.exists(), reason=f"no data at {tracker.MEDIUM}")
def test_an_imported_tracker_is_the_same_everywhere(network: Networks) -> None:
    lines = tracker.MEDIUM.read_text().splitlines()
    expected = tracker.expected_of(lines)
    assert (len(lines), len(expected)) == (LINES, ISSUES)
    first, second, third = hosts = network("abc")
    form(hosts)

    began_s = time.monotonic()
    report = first.mesh("import", "beads", str(tracker.MEDIUM))
    took_s = time.monotonic() - began_s
    assert took_s < IMPORT_S_MAX
    assert (report["created"], report["updated"], report["skipped"]) == (ISSUES, 0, [])
    spread_s = wait_equal(hosts, within_s=SPREAD_S_MAX)
    print(f"import in {took_s:.2f} s, equal on all {spread_s:.2f} s later")
    for host in hosts:
        listed = host.call("list", under=report["root"])
        assert len(listed) == ISSUES == len({each["id"] for each in listed})
        assert tracker.found_in(listed, report["root"]) == expected
        assert len(host.call("list")) == ISSUES + 1

    before = [(host.status()["state_hash"], host.status()["entries"]) for host in hosts]
    for host in (first, third):
        again = host.mesh("import", "beads", str(tracker.MEDIUM))
        assert (again["created"], again["updated"], again["unchanged"]) == (0, 0, ISSUES)
        assert again["root"] == report["root"]
    assert [(host.status()["state_hash"], host.status()["entries"]) for host in hosts] == before
    assert len(second.call("list")) == ISSUES + 1
