# Every target needs nothing but python3 (3.11 or later), make and git; the tools come into .venv.
PYTHON ?= python3
VENV := .venv
EXTRAS := dev
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test unit lint format docs audit bench chaos clean

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

install: $(STAMP) ## create .venv with everything in it (with uv where present, else venv and pip)

$(STAMP): pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && uv pip install --quiet --python $(BIN)/python -e '.[$(EXTRAS)]'; \
	else \
	  $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(EXTRAS)]'; \
	fi
	@touch $(STAMP)

demo: install ## watch simulated extraction jobs flow through a real Valkey, worker and Flower
	$(BIN)/byom demo

# Three at a time, since most of them wait for processes; those of one file share these, and stay together.
test: install ## all tests: unit, then integration on a real Valkey with real workers
	$(BIN)/pytest -m 'not integration' --numprocesses auto
	$(BIN)/pytest -m integration --numprocesses 3 --dist loadfile --no-loadscope-reorder

unit: install ## the fast tests only
	$(BIN)/pytest -m 'not integration' --numprocesses auto

lint: install ## ruff, mypy strict, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## rewrite the code in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install ## print the pages of the docs that come from the code
	$(BIN)/python -m workers.reference

audit: install ## ask the advisory server about all that is installed; ends with 3 where it cannot be asked
	$(BIN)/python -m tests.audit

# An environment of its own: LiteLLM, the rival, pins older versions of what the tests use.
# A few rows: make bench BENCH='--only enqueue --only tokens'; what there is: make bench BENCH=--list
bench: ## measure what is to be reached, half an hour long; keeps the figures in bench-results.json
	@$(MAKE) --no-print-directory install VENV=.venv-bench EXTRAS=bench
	.venv-bench/bin/python -m benchmarks run --json bench-results.json $(BENCH)

# Further rounds: make chaos CHAOS='--minutes 30'; one round again: make chaos CHAOS='--seed 1'
chaos: install ## kill, stop and starve a pool under 10,000 jobs, and hold its ledger against the vendors' books
	@$(BIN)/python -m tests.chaos $(CHAOS)

clean: ## remove what the targets made
	rm -rf $(VENV) .venv-bench dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
