"""What a mutant changes is told as its author would see it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.mutants.diffs import diffs_of

GENERATED = """
class Clock:
    def xǁClockǁobserve__mutmut_orig(self, hlc: int) -> int:
        return max(self.last, hlc)

    def xǁClockǁobserve__mutmut_1(self, hlc: int) -> int:
        return max(self.last, None)

    def xǁClockǁobserve__mutmut_2(self, hlc: int = 1) -> int:
        return max(self.last, hlc)


def x_tick__mutmut_orig() -> int:
    return 1


async def x_tick__mutmut_1() -> int:
    return 2
"""


def test_lines_taken_and_given_stand_under_the_names_of_the_code(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "hlc.py").write_text(GENERATED)
    keys = ("xǁClockǁobserve__mutmut_1", "xǁClockǁobserve__mutmut_2", "x_tick__mutmut_1")
    codes = {f"crdt.hlc.{key}": 0 for key in keys}
    (tmp_path / "sub" / "hlc.py.meta").write_text(json.dumps({"exit_code_by_key": codes}))
    (tmp_path / "empty.py.meta").write_text(json.dumps({"exit_code_by_key": {}}))
    assert diffs_of(tmp_path) == {
        "crdt.hlc.xǁClockǁobserve__mutmut_1": (
            "-        return max(self.last, hlc)\n+        return max(self.last, None)"
        ),
        "crdt.hlc.xǁClockǁobserve__mutmut_2": (
            "-    def observe(self, hlc: int) -> int:\n+    def observe(self, hlc: int = 1) -> int:"
        ),
        "crdt.hlc.x_tick__mutmut_1": (
            "-def tick() -> int:\n-    return 1\n+async def tick() -> int:\n+    return 2"
        ),
    }
