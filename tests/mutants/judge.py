"""What came of the mutants, and which of the survivors a person has judged."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, Self

from attrs import frozen

from tests.mutants import work
from tests.mutants.stage import Stage

JUDGED: Final = Path(__file__).with_name("judged.toml")
_MEANT: Final = {
    None: "to do",
    0: "survived",
    33: "survived",
    1: "killed",
    3: "killed",
    37: "types",
}


@frozen
class Rule:
    """
    A judgement of survivors.

    Attributes:
        where: Module and function, with wildcards.
        change: A pattern that is found in the lines taken and given.
        verdict: "equivalent", nothing that can be seen differs; or "cosmetic", words for people.
    """

    where: str
    change: str
    verdict: str
    why: str

    def covers(self, mutant: Mutant) -> bool:
        found = re.search(self.change, mutant.diff, re.DOTALL)
        return fnmatch(mutant.place, self.where) and found is not None


@frozen
class Mutant:
    """One that survived even the whole of its package's tests."""

    key: str
    diff: str

    @property
    def place(self) -> str:
        """`crdt.hlc.Clock.observe` of `crdt.hlc.xǁClockǁobserve__mutmut_2`."""
        module, _, name = self.key.rpartition(".")
        name = name.rpartition("__mutmut_")[0]
        name = name.removeprefix("x").strip("ǁ") if "ǁ" in name else name.removeprefix("x_")
        return f"{module}.{name.replace('ǁ', '.')}"

    def shown(self) -> str:
        return f"## {self.key}\n{self.diff}"


def read_rules() -> tuple[Rule, ...]:
    """All judgements."""
    with JUDGED.open("rb") as file:
        return tuple(Rule(**row) for row in tomllib.load(file).get("rule", ()))


def is_judged(key: str, diff: str) -> bool:
    """Whether a mutant was looked at before."""
    return any(rule.covers(Mutant(key, diff)) for rule in read_rules())


@frozen
class Verdicts:
    """The state of one stage."""

    package: str
    counts: Counter[str]
    survivors: tuple[Mutant, ...]
    rules: tuple[Rule, ...]

    @classmethod
    def read(cls, stage: Stage) -> Self:
        known = work.read_confirmed(stage)
        counts: Counter[str] = Counter()
        survivors = []
        for key, code in work.verdicts(stage).items():
            meant = _MEANT.get(code, "killed")
            if meant == "survived":
                row = known.get(key)
                if row is None:
                    meant = "unconfirmed"
                elif row["killed"]:
                    meant = "killed"
                else:
                    survivors.append(Mutant(key, row["diff"]))
            counts[meant] += 1
        return cls(stage.package, counts, tuple(survivors), read_rules())

    def judged(self) -> Counter[str]:
        verdicts = [self._verdict(mutant) for mutant in self.survivors]
        return Counter(verdict for verdict in verdicts if verdict)

    def unjudged(self) -> list[Mutant]:
        return [mutant for mutant in self.survivors if not self._verdict(mutant)]

    def table(self) -> str:
        judged = self.judged()
        cells = (
            ("mutants", self.counts.total()),
            ("killed", self.counts["killed"]),
            ("refused by the type checker", self.counts["types"]),
            ("equivalent", judged["equivalent"]),
            ("cosmetic", judged["cosmetic"]),
            ("not judged", len(self.unjudged())),
            ("not tried", self.counts["to do"] + self.counts["unconfirmed"]),
        )
        return f"{self.package}: " + ", ".join(f"{count} {name}" for name, count in cells)

    def _verdict(self, mutant: Mutant) -> str:
        return next((rule.verdict for rule in self.rules if rule.covers(mutant)), "")
