# The only door: people, .ci/run and pre-commit come in here. `make` alone says what there is.

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.ready
TESTS ?= tests
WORKERS ?= 2
N ?= 1
WINDOWS ?= 0
MODE ?= PAPER
HEADLESS ?=
SUMMARY ?=
ONLY ?=
OUT ?=
CELL ?=
SEED ?=
PAIRS ?=
ROWS ?=
COUNT ?=
OPERATIONS ?=
export WINDOWS MODE HEADLESS SUMMARY ONLY OUT CELL SEED PAIRS ROWS COUNT OPERATIONS

.PHONY: help setup demo test lint types imports format migrate migrate-down partitions fault-matrix mutate-guards mutate-frames histories bench record replay-batches check-gaps sim health doctor database database-stop

help: ## print this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv and install what uv.lock pins; again: only what changed
	@echo "→ ready: $(VENV)"

$(PYTHON):
	@echo "→ creating the virtual environment in $(VENV)"
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, this is $$(python3 --version)"; exit 1; }
	@python3 -m venv $(VENV)

$(READY): $(PYTHON) uv.lock pyproject.toml
	@$(VENV)/bin/uv --version >/dev/null 2>&1 || { echo "→ installing uv into it"; $(PYTHON) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m ensurepip >/dev/null; $(PYTHON) -m pip install --quiet --disable-pip-version-check uv; }
	@echo "→ installing the packages of uv.lock (a minute the first time)"
	@UV_PROJECT_ENVIRONMENT=$(VENV) $(VENV)/bin/uv sync --frozen --quiet --inexact
	@touch $@

demo: $(READY) ## trade recorded markets here and watch: WINDOWS=3 MODE=LIVE HEADLESS=1 SUMMARY=s.json
	@$(PYTHON) -m deploy.local.demo

test: lint types imports ## lint, types, imports, then every test: TESTS=tests/unit for some
	@echo "→ tests"
	@$(PYTHON) -m pytest -q -n $(WORKERS) $(TESTS)

lint: $(READY) ## ruff, every rule but the reasoned exemptions
	@echo "→ lint"
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/ruff format --check --quiet .

types: $(READY) ## mypy --strict
	@echo "→ types"
	@$(VENV)/bin/mypy --no-error-summary

imports: $(READY) ## who may import whom
	@echo "→ imports"
	@$(VENV)/bin/lint-imports --no-cache > $(VENV)/imports.txt || { cat $(VENV)/imports.txt; exit 1; }

format: $(READY) ## let ruff format and mend what it can
	@$(VENV)/bin/ruff check --fix --quiet . ; $(VENV)/bin/ruff format --quiet .

database: $(READY) ## start the local Postgres in var/postgres and print its address
	@$(PYTHON) -m deploy.local.embedded start

database-stop: $(READY) ## stop the local Postgres
	@$(PYTHON) -m deploy.local.embedded stop

migrate: $(READY) ## bring the Book of DATABASE_URL (else the local one) to the newest schema
	@$(WITH_DATABASE) $(PYTHON) -m alembic upgrade head

migrate-down: $(READY) ## undo the last N=1 migrations
	@$(WITH_DATABASE) $(PYTHON) -m alembic downgrade -$(N)

partitions: $(READY) ## make the days ahead of the tick tables, drop those past retention
	@$(WITH_DATABASE) $(PYTHON) -m services.operator partitions

fault-matrix: $(READY) ## every crash point x every venue answer: CELL=point/answer SEED=n PAIRS=200 OUT=file.json
	@$(PYTHON) -m tests.simulation.matrix

mutate-guards: $(READY) ## remove each guard once and see a named test fail: ONLY=name OUT=file.json
	@$(PYTHON) -m tests.guards

mutate-frames: $(READY) ## break 100,000 recorded frames and see every parser refuse by type: ONEBOOK_RECORDINGS=folder SEED=n COUNT=n
	@$(PYTHON) -m tests.contract.mutated_frames

histories: $(READY) ## long seeded runs of everybody at once, judged afterwards: SEED=n OPERATIONS=n
	@$(PYTHON) -m tests.simulation.history

bench: $(READY) ## ratios against floors, in one run: ONLY=latency OUT=file.json
	@$(PYTHON) -m tests.benchmarks

record: $(READY) ## capture every feed and trade nothing: the collector alone, for as long as you like
	@$(WITH_DATABASE) $(PYTHON) -m deploy.local.record

replay-batches: $(READY) ## store what once failed to be stored; adds no duplicate
	@$(WITH_DATABASE) $(PYTHON) -m services.operator replay-batches

check-gaps: $(READY) ## list gaps over a minute of the last 24 h; fails if there is one
	@$(WITH_DATABASE) $(PYTHON) -m services.operator check-gaps

sim: $(READY) ## run the simulated venue and feeds alone; ARGUMENTS="--scenario demo"
	@$(PYTHON) -m services.simulator $(ARGUMENTS)

health: $(READY) ## ask every service for its health; fails unless all are fit to trade
	@$(WITH_DATABASE) $(PYTHON) -m services.operator health

doctor: $(READY) ## what is wrong with this machine or deployment, and what to do
	@$(WITH_DATABASE) $(PYTHON) -m services.operator doctor

# DATABASE_URL when it is set, else the local server, started if need be.
WITH_DATABASE = DATABASE_URL="$${DATABASE_URL:-$$($(PYTHON) -m deploy.local.embedded start)}"
