#!/usr/bin/env bash
# with-postgres.sh COMMAND...: run COMMAND with LLMOS_TEST_DATABASE_URL naming a PostgreSQL server:
# the one already named, or a throw-away one that listens on loopback while COMMAND runs.
set -euo pipefail
[ -z "${LLMOS_TEST_DATABASE_URL:-}" ] || exec "$@"
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -n "$bin" ] || { echo "PostgreSQL is not installed: run make setup-dev" >&2; exit 1; }
data=$(mktemp -d /tmp/llmos-pg.XXXXXX)
as_postgres() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
[ "$(id -u)" != 0 ] || chown postgres "$data"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
stop() { as_postgres "$bin/pg_ctl" -D "$data/db" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$data"; }
trap stop EXIT
cd "$(dirname "$0")/.."
as_postgres "$bin/initdb" -D "$data/db" -U llmos -A trust -E UTF8 --locale=C.UTF-8 >/dev/null
as_postgres "$bin/pg_ctl" -D "$data/db" -w -l "$data/log" -o \
    "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$data -c fsync=off -c max_connections=200" start >/dev/null
LLMOS_TEST_DATABASE_THROWAWAY=1 LLMOS_TEST_DATABASE_URL="postgresql+psycopg://llmos@127.0.0.1:$port/postgres" "$@"
