# Everything here works in one virtual environment, .venv, made on first use and again whenever
# pyproject.toml changes. `make PYTHON=python3.13 test` takes another Python.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# pip speaks only of trouble.
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup demo test slow seeds coverage mutants bench docs clean distclean

help:
	@echo "make demo    the main job on this machine (DATA=folder: with your own data)"
	@echo "make test    everything CI runs: format, lint, types, tests"
	@echo "make slow    the long tests, with new random examples on every run"
	@echo "make coverage  which lines the tests run; make mutants: whether they notice changes"
	@echo "make seeds   simulate with new seeds and all faults, and keep count (MOST=runs)"
	@echo "make bench   measure beside pycrdt and loro, and print the numbers"
	@echo "make docs    build the documentation into reports/docs"
	@echo "make clean   remove caches and builds; make distclean: the environment, too"

setup: $(READY)

# The stamp is written last, so an interrupted set-up is begun again, not trusted.
$(READY): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) is missing. On Debian: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or later is needed; $(PYTHON) is $$($(PYTHON) --version)." \
	    "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments." \
	    "On Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "Setting up $(VENV) (once; a minute or so) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade --editable '.[dev,docs]'
	@touch $@

demo: $(READY)
	@$(BIN)/python -m cli.demo $(if $(DATA),--data "$(DATA)")

# pytest comes last, so that its closing line is the last one printed.
test: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

# The fuzzer has no wheel for every Python; without it the fuzzing tests skip themselves.
$(VENV)/.fuzz: $(READY)
	@$(PIP) install --editable '.[fuzz]' || echo "no fuzzer for this Python: not fuzzed" >&2
	@touch $@

# A cache of its own: `pytest --last-failed` then speaks of the quick tests only.
slow: $(READY) $(VENV)/.fuzz
	$(BIN)/python -m pytest -m slow --hypothesis-profile=slow --timeout=3600 \
	  -o cache_dir=.pytest_cache/slow --junit-xml=reports/slow.xml

# Not part of `make test`, which it would make half as fast. What the lines are is printed, too.
COVERING := tests/crdt tests/capability tests/vectors tests/mesh/test_*.py tests/mesh/replica \
  tests/mesh/gossip tests/mesh/storage tests/mesh/worknode tests/mesh/channel tests/mesh/node \
  tests/attack tests/crash tests/worst tests/replay tests/fuzz
# These hold the seconds that something takes against a bound; to note each line takes longer.
TIMED := --ignore-glob='*/attack/test_*_costs.py' --ignore=tests/attack/test_bad_peer.py

coverage: $(READY)
	@mkdir -p reports/coverage
	$(BIN)/python -m coverage run -m pytest --hypothesis-profile=few $(COVERING) $(TIMED)
	@$(BIN)/python -m tests.covered

# Hours at first; goes on where it was stopped. PACKAGES=crdt: one of them.
$(VENV)/.mutants: $(READY)
	@$(PIP) install --editable '.[mutants]'
	@touch $@

mutants: $(VENV)/.mutants
	@$(BIN)/python -m tests.mutants $(PACKAGES)

# The count goes on where it stood; on a source that changed it begins anew beside the old one.
seeds: $(READY)
	$(BIN)/python -m simulations.tally $(if $(MOST),--most $(MOST))

# The peers are no part of the set-up: whoever only develops needs none of them.
bench: $(READY)
	$(PIP) install --editable '.[bench]'
	$(BIN)/python -m tests.bench $(QUESTIONS)

# Without the network; `make test` builds the pages, too, and refuses a broken link.
docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "reports/docs/index.html"

clean:
	rm -rf build dist reports .run .mypy_cache .ruff_cache .pytest_cache .hypothesis htmlcov
	rm -f .coverage .coverage.*
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
