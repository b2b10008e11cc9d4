#!/bin/bash
# compare.sh - how fast Fealty is against what people would use instead; this is `make bench`
#
# In one run, taking turns and comparing medians: a Fealty node; a bare handler on the same web server; PostgreSQL doing
# the same earn; RocksDB writing the same rows in synced batches. Prints a table of ratios with what was promised and
# what bounded each, writes build/bench/results.json and pictures beside it. Everything runs in a temporary directory
# on disk, on loopback ports, and is stopped and removed at the end.
#
# Environment:
#   BENCH_SECONDS   measured seconds of each single run (3); each has one second of warm-up before
#   BENCH_ROUNDS    how often each is repeated (3)
#   BENCH_MILLIONS  accounts of the large node in millions (5); 0 leaves that part out
#   BENCH_PARTS     what to measure ("earn batch latency millions cluster kafka"; kafka is left out where there is none)
#   BENCH_DIR       where the temporary directory is made; must be on a disk, not in memory (/var/tmp)
#   BENCH_PORT      first of some twenty ports (18400)
#   BENCH_STRICT    1: end with status 1 when a promise is missed
#   FEALTY          the program to measure (build/fealty)
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build
seconds=${BENCH_SECONDS:-3}
rounds=${BENCH_ROUNDS:-3}
millions=${BENCH_MILLIONS:-5}
parts=" ${BENCH_PARTS:-earn batch latency millions cluster kafka} "
port=${BENCH_PORT:-18400}
fealty=${FEALTY:-$build/fealty}
bench=$build/fealty-bench
bare=$build/fealty-bench-bare
rocksdb=$build/fealty-bench-rocksdb
export FEALTY="$fealty"

customers=50000
cache_mib=256 # the node's default, which this script leaves alone
out=$build/bench
raw=$out/raw
work=""
pids=()
began=$SECONDS
postgres=""
rows_json=""
table=""
missed=0
disk_syncs=0
declare -A node_pid node_url node_token node_program node_start_ms

main() {
    local program
    for program in "$fealty" "$bench" "$bare" "$rocksdb"; do
        [ -x "$program" ] || fail "$program is missing; \`make bench\` builds it"
    done
    command -v curl >/dev/null || fail "curl is not installed"
    work=$(mktemp -d "${BENCH_DIR:-/var/tmp}/fealty-bench.XXXXXX")
    chmod 755 "$work"
    trap cleanup EXIT
    trap 'exit 130' INT TERM
    case "$(stat -f -c %T "$work")" in
    tmpfs | ramfs) say "note: $work lies in memory, so no disk is measured; set BENCH_DIR" ;;
    esac
    rm -rf "$out"
    mkdir -p "$raw"
    FEALTY_ADMIN_PASSWORD=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
    export FEALTY_ADMIN_PASSWORD FEALTY_BENCH_PASSWORD=$FEALTY_ADMIN_PASSWORD

    "$rocksdb" --fdatasync 4096 --dir "$work/sync" --seconds 1 --json "$raw/disk.1.json" >/dev/null
    disk_syncs=$(median disk syncs_per_s)
    say "starting a node with $customers accounts"
    start_node small "$work/small" "$port"
    prepare small
    preload small
    part earn && measure_earn
    part batch && measure_batch
    part latency && measure_latency
    if part millions && [ "$millions" != 0 ]; then measure_millions; fi
    part cluster && measure_cluster
    part kafka && measure_kafka
    report
}

# shellcheck source=bench/kafka.sh
. "$root/bench/kafka.sh"

# --- parts ------------------------------------------------------------------------------------------------------------

measure_earn() {
    local round count order who target pg
    start_bare
    start_postgres
    for round in $(seq "$rounds"); do
        say "earn, round $round of $rounds"
        for count in 16 64 128; do
            order="fealty bare"
            [ $((round % 2)) = 1 ] || order="bare fealty" # so that a drift of the machine meets both alike
            for who in $order; do
                if [ "$who" = fealty ]; then
                    run "earn-$count" "$round" small --workload earn --connections "$count" --label "earn, $count connections"
                else
                    run_url "bare-$count" "$round" "$bare_url" --token none --program 1 --server-pid "$bare_pid" \
                        --workload earn --connections "$count" --label "bare handler, $count connections"
                fi
            done
        done
        if [ -n "$postgres" ]; then
            "$root/bench/postgres.sh" run "$postgres" "$seconds" >"$raw/postgres.$round.json"
        fi
    done
    for count in 16 64 128; do
        target=0.35
        [ $count != 16 ] || target=""
        row "earn over HTTP, $count connections" "earn-$count" rate "bare handler" "$(median "bare-$count" rate)" "$target"
    done
    if [ -n "$postgres" ]; then
        pg=$(median postgres rate)
        for count in 64 128; do
            row "earn over HTTP, $count connections" "earn-$count" rate \
                "PostgreSQL, $(median postgres clients) clients" "$pg" 8
        done
        "$root/bench/postgres.sh" stop "$postgres"
        postgres=""
    fi
    # Ten times a ledger database written for nothing else, unbatched (2,000 transfers a second on two such cores).
    row "earn over HTTP, 64 connections" earn-64 rate "dedicated ledger, unbatched" 2000 10
}

measure_batch() {
    local round best
    for round in $(seq "$rounds"); do
        say "batch, round $round of $rounds"
        run batch-100 "$round" small --workload batch --batch-lines 100 --connections 16 --label "batches of 100"
        "$rocksdb" --dir "$work/rocksdb" --accounts "$customers" --sizes 1,16,64,128,512 \
            --seconds "$(calculate "$seconds / 3")" --json "$raw/rocksdb.$round.json" >/dev/null
        run batch-1000 "$round" small --workload batch --batch-lines 1000 --connections 4 --label "batches of 1,000"
    done
    best=$(median rocksdb best_per_s)
    row "earns in batches of 100, 16 connections" batch-100 operations_per_s "raw RocksDB, best batch" "$best" 0.4
    row "earns in batches of 1,000, 4 connections" batch-1000 operations_per_s "raw RocksDB, best batch" "$best" 0.4
    row "earns in batches of 100, 16 connections" batch-100 operations_per_s "dedicated ledger, same batches" 50000 1
}

measure_latency() {
    local round rate bytes syncs
    if [ ! -f "$raw/earn-64.1.json" ]; then
        run earn-64 1 small --workload earn --connections 64 --label "earn, 64 connections"
    fi
    rate=$(calculate "int($(median earn-64 rate) / 2)")
    run behind 1 small --workload earn --connections 64 --rate "$rate" --label "earn at $rate per second, right behind the load before"
    for round in $(seq "$rounds"); do
        settle small
        say "latency at half the highest rate, round $round of $rounds"
        run half "$round" small --workload earn --connections 64 --rate "$rate" --label "earn at $rate per second"
        # The bytes that one sync carried: rows of an earn twice (log row and rows), times earns per flush of the disk.
        # A sync may flush more than once, so this errs on the small, that is the strict side.
        syncs=$("$bench" pick "$raw/half.$round.json" disk_flushes_per_s)
        bytes=8192
        [ "$syncs" = null ] || bytes=$(awk -v r="$rate" -v s="$syncs" \
            'BEGIN { b = s > 0 ? int(r / s * 880) : 8192; printf("%d\n", (b < 880 ? 880 : b > 1000000 ? 1000000 : b)) }')
        "$rocksdb" --fdatasync "$bytes" --dir "$work/sync" --seconds "$(calculate "$seconds / 2")" \
            --json "$raw/sync.$round.json" >/dev/null
    done
    row "p99 of earn at $rate/s, ms" half p99_ms "p99 of write + fdatasync, $(median sync bytes) bytes" \
        "$(median sync p99_ms)" 10 below
    row "the same right behind a bulk load, ms" behind p99_ms "p99 of write + fdatasync" "$(median sync p99_ms)" ""
}

measure_millions() {
    local count file round kib
    count=$(calculate "int($millions * 1000000)")
    say "importing $count accounts"
    start_node large "$work/large" $((port + 2))
    prepare large
    stop_node large
    file=$work/customers.ndjson
    "$bench" preload --emit "$file" --customers "$count" --program "${node_program[large]}"
    local import_began=$SECONDS
    "$fealty" import --data "$work/large" "$file" >"$work/import.log" 2>&1 || { tail -n 20 "$work/import.log" >&2; fail "the import failed"; }
    say "imported in $((SECONDS - import_began)) s"
    rm -f "$file"
    start_node large "$work/large" $((port + 2))
    local program=${node_program[large]}
    prepare large # a new token; the accounts belong to the program made before
    node_program[large]=$program
    settle large
    for round in $(seq "$rounds"); do
        say "many accounts, round $round of $rounds"
        run earn-large "$round" large --workload earn --connections 64 --customers "$count" --label "earn, $count accounts"
        run earn-small "$round" small --workload earn --connections 64 --label "earn, $customers accounts"
    done
    kib=$(awk '/^VmRSS/ { print $2 }' "/proc/${node_pid[large]}/status")
    row "earn with $count accounts" earn-large rate "with $customers accounts" "$(median earn-small rate)" 0.8
    row_value "memory with $count accounts, MiB" $((kib / 1024)) "cache + 256 MiB" $((cache_mib + 256)) 1 below ""
    row_value "start-up with $count accounts, ms" "${node_start_ms[large]}" "3 s" 3000 1 below ""
    stop_node large
}

measure_cluster() {
    local round urls
    say "starting three nodes"
    if ! urls=$("$root/bench/three_nodes.sh" start "$work/three" $((port + 4))); then
        say "three nodes did not start: left out"
        return 0
    fi
    while read -r pid; do pids+=("$pid"); done <"$work/three/pids"
    node_url[three]=$(echo "$urls" | head -n 1)
    node_pid[three]=$(tr '\n' ' ' <"$work/three/pids")
    prepare three
    preload three
    for round in $(seq "$rounds"); do
        say "three nodes, round $round of $rounds"
        run earn-three "$round" three --workload earn --connections 64 --label "earn, three nodes"
        run earn-one "$round" small --workload earn --connections 64 --label "earn, one node"
    done
    row "earn, three nodes, all traffic into one" earn-three rate "one node alone" "$(median earn-one rate)" 0.4
    row_value "wrong answers of three nodes" "$(total earn-three error_count)" "none" 0 0 below ""
    "$root/bench/three_nodes.sh" stop "$work/three"
}

# --- servers ----------------------------------------------------------------------------------------------------------

# name, directory, port
start_node() {
    local began_ns
    began_ns=$(date +%s%N)
    "$fealty" node --data "$2" --listen "127.0.0.1:$3" >>"$work/$1.log" 2>&1 </dev/null &
    node_pid[$1]=$!
    pids+=($!)
    node_url[$1]="http://127.0.0.1:$3"
    wait_ready "${node_url[$1]}" "$!" "$work/$1.log"
    node_start_ms[$1]=$((($(date +%s%N) - began_ns) / 1000000))
}

# url, pid, log
wait_ready() {
    local deadline=$((SECONDS + 60))
    until curl -fsS -o /dev/null --max-time 2 "$1/readyz" 2>/dev/null; do
        if ! kill -0 "$2" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
            tail -n 20 "$3" >&2
            fail "the server at $1 is not ready; the end of its log is above"
        fi
        sleep 0.02
    done
}

# Waits until a node has merged what earlier parts left behind (it writes nothing for a second), for a minute at most.
settle() {
    local began=$SECONDS before now=0
    until [ $((SECONDS - began)) -ge 60 ]; do
        before=$now
        now=$(awk '/^write_bytes/ { print $2 }' "/proc/${node_pid[$1]%% *}/io")
        [ $((now - before)) -gt 65536 ] || break
        sleep 1
    done
    [ $((SECONDS - began)) -lt 3 ] || say "waited $((SECONDS - began)) s until the node had merged what it wrote before"
}

stop_node() {
    local pid=${node_pid[$1]}
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

# Makes program and tier, keeps the token.
prepare() {
    local lines
    lines=$("$bench" setup --shell --url "${node_url[$1]}" --user admin)
    node_token[$1]=$(echo "$lines" | sed -n 's/^FEALTY_BENCH_TOKEN=//p')
    node_program[$1]=$(echo "$lines" | sed -n 's/^FEALTY_BENCH_PROGRAM=//p')
}

preload() {
    FEALTY_BENCH_TOKEN=${node_token[$1]} "$bench" preload --url "${node_url[$1]}" --program "${node_program[$1]}" \
        --customers "$customers" --connections 64 >"$work/preload.log"
}

start_bare() {
    bare_url=http://127.0.0.1:$((port + 1))
    "$bare" --listen "127.0.0.1:$((port + 1))" >"$work/bare.log" 2>&1 </dev/null &
    bare_pid=$!
    pids+=("$bare_pid")
    wait_ready "$bare_url" "$bare_pid" "$work/bare.log"
}

start_postgres() {
    local status=0
    say "starting PostgreSQL and looking for its best client count"
    BENCH_CUSTOMERS=$customers BENCH_SECONDS=$(calculate "$seconds < 2 ? $seconds : 2" | awk '{ print int($1 + 0.999) }') \
        "$root/bench/postgres.sh" start "$work/postgres" || status=$?
    if [ $status = 0 ]; then
        postgres=$work/postgres
    elif [ $status = 3 ]; then
        say "PostgreSQL is not installed: left out"
    else
        "$root/bench/postgres.sh" stop "$work/postgres" || true
        fail "PostgreSQL did not start"
    fi
}

cleanup() {
    local pid
    set +e
    stop_kafka
    [ -z "$postgres" ] || "$root/bench/postgres.sh" stop "$postgres"
    [ ! -f "$work/three/pids" ] || "$root/bench/three_nodes.sh" stop "$work/three"
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null; done
    wait 2>/dev/null
    [ -z "$work" ] || rm -rf "$work"
}

# --- measuring --------------------------------------------------------------------------------------------------------

# key, round, node, options of `fealty-bench run`
run() {
    local key=$1 round=$2 node=$3 pid
    local -a watched=()
    shift 3
    for pid in ${node_pid[$node]}; do watched+=(--server-pid "$pid"); done
    FEALTY_BENCH_TOKEN=${node_token[$node]} run_url "$key" "$round" "${node_url[$node]}" --program "${node_program[$node]}" \
        "${watched[@]}" "$@"
}

# key, round, url, options
run_url() {
    local key=$1 round=$2 url=$3 errors
    shift 3
    # An option given twice: the last one counts.
    "$bench" run --url "$url" --customers "$customers" --duration "$seconds" --warmup 1 --disk "$work" \
        --json "$raw/$key.$round.json" "$@" >"$raw/$key.$round.txt"
    errors=$("$bench" pick "$raw/$key.$round.json" error_count)
    [ "$errors" = 0 ] || say "note: $key, round $round: $errors errors; $(grep 'first of them' "$raw/$key.$round.txt" || true)"
}

calculate() { awk "BEGIN { printf(\"%.10g\n\", ($1)) }"; }

values() {
    local file
    for file in "$raw/$1".*.json; do "$bench" pick "$file" "$2"; done
}
median() {
    values "$1" "$2" | grep -v null | sort -g | awk '{ v[NR] = $1 } END { if (NR) printf("%.10g\n", (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2)); else print 0 }'
}
total() { values "$1" "$2" | awk '{ s += $1 } END { printf "%.10g\n", s }'; }

# --- reporting --------------------------------------------------------------------------------------------------------

# measure, key, member, reference, its value, target ratio or "", [below]: a row from the medians of a key
row() {
    local bound server generator flushes busy
    server=$(median "$2" server_cpu_percent)
    generator=$(median "$2" generator_cpu_percent)
    flushes=$(median "$2" disk_flushes_per_s)
    busy=$(median "$2" machine_busy_percent)
    bound=$(awk -v b="$busy" -v s="$server" -v g="$generator" -v f="$flushes" -v d="$disk_syncs" 'BEGIN {
        what = (b >= 90 ? "processors" : f >= 0.7 * d ? "disk" : "waiting")
        printf("%s: cores %.0f %% busy (server %.0f, generator %.0f), %.0f flushes/s", what, b, s, g, f)
    }')
    row_value "$1" "$(median "$2" "$3")" "$4" "$5" "$6" "${7:-above}" "$bound"
}

# measure, value, reference, its value, target ratio or "", above|below, what bounded it
row_value() {
    local ratio verdict
    ratio=$(awk -v a="$2" -v b="$4" 'BEGIN { printf("%.4f", (b > 0 ? a / b : a)) }')
    verdict=$(awk -v r="$ratio" -v t="$5" -v w="$6" 'BEGIN {
        print (t == "" ? "-" : (w == "below" ? r + 0 <= t + 0 : r + 0 >= t + 0) ? "reached" : "MISSED")
    }')
    [ "$verdict" != MISSED ] || missed=$((missed + 1))
    table+=$(printf '%-42s %10s %-36s %10s %8.2f %9s  %-8s %s' "$1" "$(short "$2")" "$3" "$(short "$4")" "$ratio" \
        "${5:+$([ "$6" = below ] && echo '<=' || echo '>=') $5}" "$verdict" "$7")$'\n'
    rows_json+="${rows_json:+,}$(printf '\n  {"measure":"%s","value":%s,"reference":"%s","reference_value":%s,"ratio":%s,"target":%s,"direction":"%s","verdict":"%s","bound":"%s"}' \
        "$1" "$2" "$3" "$4" "$ratio" "${5:-null}" "$6" "$verdict" "$7")"
}

short() { awk -v v="$1" 'BEGIN { if (v >= 100) printf "%.0f", v; else printf "%.3g", v }'; }

report() {
    local -a bars=() lines=()
    local key
    printf '{"seconds":%s,"rounds":%s,"cores":%s,"disk_syncs_per_s":%s,"rows":[%s\n]}\n' "$seconds" "$rounds" "$(nproc)" "$disk_syncs" "$rows_json" >"$out/results.json"
    for key in bare-128 bare-64 earn-128 earn-64 earn-16 batch-1000 batch-100 earn-large earn-three; do
        [ -f "$raw/$key.1.json" ] || continue
        bars+=("$("$bench" pick "$raw/$key.1.json" label)=$(median "$key" operations_per_s)")
    done
    [ ! -f "$raw/rocksdb.1.json" ] || bars+=("raw RocksDB, best batch=$(median rocksdb best_per_s)")
    [ ! -f "$raw/postgres.1.json" ] || bars+=("PostgreSQL=$(median postgres rate)")
    [ ${#bars[@]} = 0 ] || "$bench" bars "$out/throughput.svg" --title "Earns per second" "${bars[@]}"
    for key in half earn-16 earn-64 earn-128 batch-100; do
        [ ! -f "$raw/$key.1.json" ] || lines+=("$raw/$key.1.json")
    done
    [ ${#lines[@]} = 0 ] || "$bench" chart "$out/latency.svg" "${lines[@]}"
    printf '\n%-42s %10s %-36s %10s %8s %9s  %-8s %s\n' measure value against value ratio promised "" "what bounded it"
    printf '%s' "$table"
    printf '\n%s cores, medians of %s rounds of %s s; took %s s. The disk alone does %s syncs of 4 KiB a second.\nDetails: %s\n' \
        "$(nproc)" "$rounds" "$seconds" $((SECONDS - began)) "$(short "$disk_syncs")" "${out#"$root"/}"
    [ $missed = 0 ] || echo "$missed promises missed"
    [ "${BENCH_STRICT:-0}" != 1 ] || [ $missed = 0 ]
}

part() { case "$parts" in *" $1 "*) return 0 ;; esac; return 1; }
say() { echo "bench: $*" >&2; }
fail() {
    echo "bench: $*" >&2
    exit 1
}

main
