#!/usr/bin/env bash
# Everything `make test` runs, in the order in which a mistake is cheapest to find.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH" HF_HUB_DISABLE_TELEMETRY=1
unset PYTHONDONTWRITEBYTECODE HF_ENDPOINT HF_TOKEN HF_HOME 2>/dev/null || true
step() { printf '\n== %s\n' "$*"; }

step "lint"; ruff check -q src tests benchmarks; ruff format --check -q src tests benchmarks
step "types"; mypy
step "import contracts"; lint-imports --no-logo >/dev/null 2>&1 || lint-imports
step "tests on SQLite"
pytest -q -n 2 --dist loadfile -m "not slow and not clients" tests "$@"
step "tests on PostgreSQL"
scripts/with-postgres.sh pytest -q -n 2 --dist loadfile -m "not slow and not clients and not browser" \
    tests/hf_contract tests/git_contract tests/house \
    tests/faults/test_backup.py::test_every_row_comes_back_as_it_was "$@"
