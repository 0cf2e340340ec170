"""Ten minutes of the fuzzer for every target: nothing is found."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from tests.fuzz.tally import SECONDS, fuzz
from tests.fuzz.target import MODULES


@pytest.mark.slow
@pytest.mark.timeout(20 * SECONDS + 120)
@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_found(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Resumable: what a target had of its minutes on this code it need not have again."""
    if find_spec("atheris") is None:
        pytest.skip("there is no atheris here: pip install 'worknode-mesh[fuzz]'")
    tally = fuzz(name)
    assert not tally.finding, f"{tally.finding}\n{tally.words}"
    with capsys.disabled():
        print(f"\n{tally.line()}")
