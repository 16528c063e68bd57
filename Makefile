# Two commands matter: `make demo` and `make test`. Both install what they need first: into .venv for python3, or,
# for another interpreter (make test PYTHON=python3.13), into an environment of its own, .venv-3.13.
PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV := .venv$(if $(filter-out python3,$(PYTHON)),-$(VERSION))
BIN := $(VENV)/bin
# Below the version's own folder, so that an environment whose python3 has become another version is made anew.
MADE := $(VENV)/lib/python$(VERSION)/site-packages
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest

.PHONY: demo test check bench soak install neighbours types lint unit openapi clean

demo: $(MADE)/.demo
	@$(BIN)/pue-demo $(ARGS)

test: check neighbours
	@$(PYTEST) -n 2 --dist loadfile tests/integration tests/e2e

check: $(MADE)/.dev lint types unit

lint: $(MADE)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-cache

types: $(MADE)/.dev
	@$(BIN)/mypy

unit: $(MADE)/.dev
	@$(PYTEST) -q -n 2 tests/unit/pue --cov=pue --cov-branch --cov-report=term:skip-covered --cov-fail-under=100
	@$(PYTEST) -q -n 2 tests/unit tests/property tests/reference tests/fuzz tests/architecture --ignore=tests/unit/pue

bench: $(MADE)/.dev
	@$(BIN)/python -m tests.bench

soak: $(MADE)/.dev neighbours
	@$(BIN)/python -m tests.soak

install: $(MADE)/.dev

$(MADE)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Python 3.11 or newer is needed; $(PYTHON) is `$(PYTHON) -V`. Try: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 \
	    || { rm -rf $(VENV); [ `id -u` = 0 ] && apt-get update -qq && apt-get install -qq -y python3-venv >/dev/null \
	         && $(PYTHON) -m venv $(VENV); } \
	    || { rm -rf $(VENV); echo "Python cannot make virtual environments. Try: apt-get install python3-venv"; exit 1; }

$(MADE)/.demo: pyproject.toml | $(MADE)/pip
	@echo "Installing into $(VENV) ..."
	@$(PIP) install --editable '.[simulators]'
	@touch $@

$(MADE)/.dev: pyproject.toml | $(MADE)/pip
	@echo "Installing into $(VENV) ..."
	@$(PIP) install --editable '.[dev]'
	@touch $@ $(MADE)/.demo

neighbours:
	@sh tests/neighbours.sh

clean:
	@rm -rf .venv .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
