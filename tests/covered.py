"""
How many lines of each package the tests run: `make coverage` prints it, and fails below the bound.

Only what runs in the process of the tests is seen, so that what a test starts and kills does not
change the figure.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen
from coverage import Coverage

ROOT: Final = Path(__file__).resolve().parents[1]
#: Where a mistake could lose or forge something, so that no line may be there untried.
WATCHED: Final = ("crdt", "capability", "mesh/replica", "mesh/gossip", "mesh/storage")
PERCENT_MIN: Final = 95.0


@frozen
class Covered:
    """A package, its lines that can run, and those that did not, by file."""

    package: str
    lines: int
    missed: dict[str, str]
    missed_count: int

    @property
    def percent(self) -> float:
        return 100 * (1 - self.missed_count / self.lines)

    @property
    def is_enough(self) -> bool:
        return self.package not in WATCHED or self.percent >= PERCENT_MIN


def packages() -> Iterator[str]:
    """Every package that has modules, by its folder."""
    for top in ("crdt", "capability", "mesh"):
        for path in sorted((ROOT / top).rglob("__init__.py")):
            yield str(path.parent.relative_to(ROOT))


def measure(data: Coverage, package: str) -> Covered:
    lines, count, missed = 0, 0, {}
    for path in sorted((ROOT / package).glob("*.py")):
        _, statements, _, absent, words = data.analysis2(str(path))
        lines += len(statements)
        count += len(absent)
        if absent:
            missed[str(path.relative_to(ROOT))] = words
    return Covered(package, lines, missed, count)


def main() -> int:
    data = Coverage(config_file=str(ROOT / "pyproject.toml"))
    data.load()
    found = [each for each in (measure(data, name) for name in packages()) if each.lines]
    for each in found:
        if each.package in WATCHED:
            for path, words in each.missed.items():
                print(f"{path}: {words}")
    print(f"\n{'package':<18} {'lines':>6} {'missed':>6} {'run':>7}")
    for each in found:
        bound = f"  at least {PERCENT_MIN:g} %" if each.package in WATCHED else ""
        print(
            f"{each.package:<18} {each.lines:>6} {each.missed_count:>6} "
            f"{each.percent:>6.1f} %{bound}{'' if each.is_enough else '  TOO FEW'}"
        )
    return not all(each.is_enough for each in found)


if __name__ == "__main__":
    sys.exit(main())
