# Two commands matter: `make demo` and `make test`. Both install what they need into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest

.PHONY: demo test check bench soak install neighbours types lint unit openapi clean

demo: $(VENV)/.demo
	@$(BIN)/pue-demo $(ARGS)

test: check neighbours
	@$(PYTEST) -n 2 --dist loadfile tests/integration tests/e2e

check: $(VENV)/.dev lint types unit

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-cache

types: $(VENV)/.dev
	@$(BIN)/mypy

unit: $(VENV)/.dev
	@$(PYTEST) -q -n 2 tests/unit/pue --cov=pue --cov-branch --cov-report=term:skip-covered --cov-fail-under=100
	@$(PYTEST) -q -n 2 tests/unit tests/property tests/fuzz tests/architecture --ignore=tests/unit/pue

bench: $(VENV)/.dev
	@$(BIN)/python -m tests.bench

soak: $(VENV)/.dev neighbours
	@$(BIN)/python -m tests.soak

install: $(VENV)/.dev

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Python 3.11 or newer is needed; $(PYTHON) is `$(PYTHON) -V`. Try: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
	    || { rm -rf $(VENV); [ `id -u` = 0 ] && apt-get update -qq && apt-get install -qq -y python3-venv >/dev/null \
	         && $(PYTHON) -m venv $(VENV); } \
	    || { rm -rf $(VENV); echo "Python cannot make virtual environments. Try: apt-get install python3-venv"; exit 1; }

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) ..."
	@$(PIP) install --editable '.[simulators]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) ..."
	@$(PIP) install --editable '.[dev]'
	@touch $@ $(VENV)/.demo

neighbours:
	@sh tests/neighbours.sh

clean:
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
