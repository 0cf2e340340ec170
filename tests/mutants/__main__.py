"""
Change the code in small ways, and see whether the tests notice: `python -m tests.mutants crdt`.

It can be stopped at any time and goes on where it was; what is decided about a function stays
until the function changes. `--again` shows those that survived, and that nobody has judged, to the
tests as they are now, and `--survivors` prints them. What was judged is in `judged.toml`, with its
reason.
"""

from __future__ import annotations

import argparse
import resource
import sys
from typing import Final

from tests.mutants.judge import Verdicts, is_judged
from tests.mutants.stage import STAGES_OF, prepare
from tests.mutants.work import confirm, run

#: Of address space: what a mutant fills without end is noticed here, and not by the machine.
_MEMORY_MAX: Final = 4 << 30


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("packages", nargs="*", help=f"of {', '.join(STAGES_OF)}; all by default")
    parser.add_argument("--survivors", action="store_true", help="only print, run nothing")
    parser.add_argument("--again", action="store_true", help="only those that survived before")
    said = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_MAX, hard))
    left = 0
    for name in said.packages or STAGES_OF:
        stage = STAGES_OF[name]
        if not said.survivors:
            prepare(stage)
            run(stage, again=said.again, is_judged=is_judged)
            confirm(stage, is_judged=is_judged)
        verdicts = Verdicts.read(stage)
        print(verdicts.table())
        for mutant in verdicts.unjudged():
            print(mutant.shown())
        left += len(verdicts.unjudged())
    return min(left, 1)


if __name__ == "__main__":
    sys.exit(main())
