#!/usr/bin/env bash
# Everything `make test` runs, in the order in which a mistake is cheapest to find.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH" HF_HUB_DISABLE_TELEMETRY=1
unset PYTHONDONTWRITEBYTECODE HF_ENDPOINT HF_TOKEN HF_HOME 2>/dev/null || true
# Tests wait for servers, disks and browsers two fifths of their time: one process more than processors.
# In the order of their folders, as the long ones of the browser would else come last and alone.
workers=(-n $(($(nproc) + 1)) --dist loadfile --no-loadscope-reorder)
step() { printf '\n== %s\n' "$*"; }

step "lint"; ruff check -q src tests benchmarks; ruff format --check -q src tests benchmarks
step "types"; mypy
step "import contracts"; lint-imports --no-logo >/dev/null 2>&1 || lint-imports
step "tests on SQLite"
pytest -q "${workers[@]}" -m "not slow and not clients" tests "$@"
step "tests on PostgreSQL"
scripts/with-postgres.sh pytest -q "${workers[@]}" -m "not slow and not clients and not browser" \
    tests/hf_contract tests/git_contract tests/house \
    tests/faults/test_backup.py::test_every_row_comes_back_as_it_was "$@"
