# LLMOS: `make up` sets up and runs, `make test` sets up and tests. Everything else is below.
SHELL := /bin/bash
PY := .venv/bin/python
export LLMOS_HOME ?= $(CURDIR)/var
export LLMOS_EXTRAS ?= all
# In the house's own test runs every warning is an error and nothing waits for a terminal.
TEST_FLAGS ?=

.PHONY: help setup setup-lab setup-ray setup-qlora setup-llamacpp setup-lm-eval setup-dev up test test-postgres test-slow lint types imports unit browser pg clients bench fmt docs clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

setup:  ## create the environment and install what the hub needs
	@scripts/setup.sh hub

setup-lab:  ## install the training side (torch, transformers) in an environment of its own
	@scripts/setup.sh lab

setup-ray:  ## install Ray (300 MB) beside the training side, for runners that give trainings to a cluster
	@scripts/setup.sh ray

setup-qlora:  ## install bitsandbytes (125 MB) beside the training side, for lora.quantize
	@scripts/setup.sh qlora

setup-llamacpp:  ## build llama.cpp (17 minutes) for the training side: GGUF files served as they are
	@scripts/setup.sh llamacpp

setup-lm-eval:  ## install lm-eval beside the training side: its catalogue of tasks, and what we compare with
	@scripts/setup.sh lm-eval

setup-dev: setup  ## install what the tests need (Chromium, git-lfs, PostgreSQL)
	@scripts/setup.sh dev

up: setup  ## set up, start everything, print the address
	@exec .venv/bin/llmos up

test: setup-dev  ## lint, types, import contracts, and all tests but the slow ones
	@scripts/test.sh $(TEST_FLAGS)

# PG_TESTS="tests/runner" runs others there.
PG_TESTS ?= tests/features tests/app tests/infra/db tests/infra/search tests/s3 tests/xet_contract \
    tests/faults tests/cli
test-postgres: setup-dev  ## the rest of the suite on PostgreSQL (make test runs the contracts there)
	@scripts/with-postgres.sh .venv/bin/pytest -q -n $$(($$(nproc) + 1)) --dist loadfile --no-loadscope-reorder -m "not slow and not clients" \
	    $(PG_TESTS) $(TEST_FLAGS)

lint: setup-dev
	@.venv/bin/ruff check src tests benchmarks scripts && .venv/bin/ruff format --check src tests benchmarks scripts

types: setup-dev
	@.venv/bin/mypy

imports: setup-dev
	@.venv/bin/lint-imports

test-slow: setup-dev setup-ray setup-qlora setup-lm-eval  ## stress, crash and soak tests
	@.venv/bin/pytest -q -m slow tests

clients: setup-dev  ## contract tests with other versions of the Hub client
	@.venv/bin/pytest -q -m clients tests
	@scripts/with-postgres.sh .venv/bin/pytest -q -m clients tests/clients/test_interop.py

bench: setup-dev  ## measure, and print ratios against peers and physical limits
	@scripts/setup.sh bench && $(PY) -m benchmarks $(BENCH)

fmt: setup-dev  ## format the code
	@.venv/bin/ruff check --fix-only -q src tests benchmarks scripts; .venv/bin/ruff format -q src tests benchmarks scripts

docs: setup  ## regenerate docs/reference from the code
	@$(PY) -m llmos.cli.reference docs/reference

clean:  ## remove environments and caches; keeps $LLMOS_HOME
	@rm -rf .venv .venv-lab .venv-ray .venv-lm-eval .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
