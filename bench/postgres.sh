#!/bin/bash
# postgres.sh - the same earn done by PostgreSQL: how many per second, durably
#
# A private server in a temporary directory, reachable through a unix socket only, fsync and synchronous_commit on. One
# earn is what an application would do: begin, lock and read the account, insert the entry under its unique key, update
# the account, commit. pgbench tries several client counts; the best one is the result.
#
#   postgres.sh start DIRECTORY              make and start a server, load the accounts, find the best client count
#   postgres.sh run   DIRECTORY [SECONDS]    one measurement at the best client count, prints JSON
#   postgres.sh stop  DIRECTORY              stop that server, remove the directory
#   postgres.sh [SECONDS]                    all three
#
# Environment: BENCH_CUSTOMERS (50000), BENCH_CLIENTS ("8 16 32 64"), BENCH_SECONDS (3).
# Ends with status 3 when PostgreSQL is not installed.
set -euo pipefail

customers=${BENCH_CUSTOMERS:-50000}
clients=${BENCH_CLIENTS:-8 16 32 64}
seconds=${BENCH_SECONDS:-3}

find_programs() {
    local dir
    for dir in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV) $(dirname "$(command -v initdb || echo /none/x)"); do
        if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && [ -x "$dir/pgbench" ] && [ -x "$dir/psql" ]; then
            bin=$dir
            return 0
        fi
    done
    echo "postgres.sh: PostgreSQL is not installed (Debian: apt-get install postgresql)" >&2
    exit 3
}

# PostgreSQL refuses to run as root: borrow the user that its package makes, or nobody.
as_server_user() {
    if [ "$(id -u)" -ne 0 ]; then
        "$@"
    else
        runuser -u "$server_user" -- "$@"
    fi
}
server_user=postgres
id -u postgres >/dev/null 2>&1 || server_user=nobody

sql() { as_server_user "$bin/psql" -X -q -v ON_ERROR_STOP=1 -h "$dir/socket" -d postgres -U bench "$@"; }

start() {
    mkdir -p "$dir/socket"
    [ "$(id -u)" -ne 0 ] || chown -R "$server_user" "$dir"
    as_server_user "$bin/initdb" -D "$dir/data" -U bench -A trust -E UTF8 --locale=C >"$dir/initdb.log" 2>&1 ||
        { cat "$dir/initdb.log" >&2; exit 1; }
    # As Debian ships it, with the memory that its manual recommends to raise first.
    cat >>"$dir/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$dir/socket'
fsync = on
synchronous_commit = on
shared_buffers = 512MB
max_connections = 200
CONF
    [ "$(id -u)" -ne 0 ] || chown "$server_user" "$dir/data/postgresql.conf"
    (
        cd "$dir"
        as_server_user "$bin/postgres" -D "$dir/data" >"$dir/server.log" 2>&1 &
        wait $!
    ) &
    local deadline=$((SECONDS + 30))
    until sql -c 'select 1' >/dev/null 2>&1; do
        if [ $SECONDS -ge $deadline ]; then
            cat "$dir/server.log" >&2
            echo "postgres.sh: the server did not start" >&2
            exit 1
        fi
        sleep 0.1
    done
    sql -v customers="$customers" <<'SQL'
create table accounts (
    customer   uuid not null,
    program    integer not null,
    balance    bigint not null,
    earned     bigint not null,
    status     smallint not null default 0,
    updated_at timestamptz not null default now(),
    primary key (customer, program)
);
create table entries (
    id              bigint generated always as identity primary key,
    customer        uuid not null,
    program         integer not null,
    points          bigint not null,
    balance_after   bigint not null,
    idempotency_key uuid not null unique,
    created_at      timestamptz not null default now()
);
insert into accounts (customer, program, balance, earned)
    select md5(i::text)::uuid, 1, 1000000, 0 from generate_series(1, :customers) i;
vacuum analyze accounts;
checkpoint;
SQL
    cat >"$dir/earn.sql" <<SQL
\\set customer random(1, $customers)
\\set points random(100, 999)
begin;
select balance, status from accounts where customer = md5(:customer::text)::uuid and program = 1 for update \\gset
insert into entries (customer, program, points, balance_after, idempotency_key)
    values (md5(:customer::text)::uuid, 1, :points::bigint, :balance::bigint + :points::bigint, gen_random_uuid());
update accounts set balance = balance + :points::bigint, earned = earned + :points::bigint, updated_at = now()
    where customer = md5(:customer::text)::uuid and program = 1;
commit;
SQL
    chmod a+r "$dir/earn.sql"
    local best=0 best_clients=0 count rate
    : >"$dir/probes"
    for count in $clients; do
        rate=$(measure "$count" "$seconds" | cut -d' ' -f1)
        echo "$count $rate" >>"$dir/probes"
        if awk -v a="$rate" -v b="$best" 'BEGIN { exit !(a > b) }'; then
            best=$rate
            best_clients=$count
        fi
    done
    echo "$best_clients" >"$dir/best_clients"
}

# clients, seconds -> "rate latency_ms"
measure() {
    local out
    out=$(as_server_user "$bin/pgbench" -n -M prepared -c "$1" -j 2 -T "$2" -f "$dir/earn.sql" -h "$dir/socket" -U bench \
        postgres 2>&1) || { echo "$out" >&2; exit 1; }
    echo "$out" | awk '/^latency average/ { l = $4 } /^tps = / { t = $3 } END { if (t == "") exit 1; print t, l }'
}

run() {
    local count result
    count=$(cat "$dir/best_clients")
    result=$(measure "$count" "${1:-$seconds}")
    printf '{"rate":%s,"mean_ms":%s,"clients":%s,"probes":"%s"}\n' "${result% *}" "${result#* }" "$count" \
        "$(tr '\n' ',' <"$dir/probes" | sed 's/,$//; s/,/, /g')"
}

# By the process id that this server wrote into its own directory, never by name.
stop() {
    local pid=""
    [ ! -f "$dir/data/postmaster.pid" ] || pid=$(head -n 1 "$dir/data/postmaster.pid")
    if [ -n "$pid" ] && kill -INT "$pid" 2>/dev/null; then
        local deadline=$((SECONDS + 20))
        while kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $deadline ]; do sleep 0.1; done
    fi
    rm -rf "$dir"
}

find_programs
case "${1:-}" in
start | run | stop)
    dir=${2:?a directory}
    # A relative path would mean something else to the server.
    case "$dir" in /*) ;; *) dir=$PWD/$dir ;; esac
    if [ "$1" = start ]; then start; else "$1" "${@:3}"; fi
    ;;
"" | [0-9]*)
    dir=$(mktemp -d)
    chmod 755 "$dir"
    trap stop EXIT
    seconds=${1:-$seconds}
    start
    run
    ;;
*)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
    ;;
esac
