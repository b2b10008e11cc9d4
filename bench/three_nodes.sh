#!/bin/bash
# three_nodes.sh - three nodes on loopback for a measurement, or as many as NODES says
#
#   three_nodes.sh start DIRECTORY [FIRST_PORT]    prints the three URLs when all are ready
#   three_nodes.sh stop  DIRECTORY                 stops them; their data stays
#
# Environment: FEALTY (build/fealty), FEALTY_ADMIN_PASSWORD; KAFKA=HOST:PORT,... puts their log into Kafka (topics are
# made, with one copy when SINGLE_BROKER=1). Process ids are in DIRECTORY/pids.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
fealty=${FEALTY:-$root/build/fealty}
command=${1:-}
dir=${2:-}

usage() {
    sed -n '4,6p' "$0" | sed 's/^# *//' >&2
    exit 2
}
[ -n "$dir" ] || usage

stop() {
    local pid deadline=$((SECONDS + 15))
    [ -f "$dir/pids" ] || return 0
    while read -r pid; do kill -TERM "$pid" 2>/dev/null || true; done <"$dir/pids"
    while read -r pid; do
        while kill -0 "$pid" 2>/dev/null; do
            if [ $SECONDS -ge $deadline ]; then
                kill -KILL "$pid" 2>/dev/null || true
                break
            fi
            sleep 0.1
        done
    done <"$dir/pids"
    rm -f "$dir/pids"
}

start() {
    local port=${1:-18510} peers="" i deadline=$((SECONDS + 60)) last=$((${NODES:-3} - 1))
    local -a log
    for i in $(seq 0 "$last"); do peers="$peers${peers:+,}127.0.0.1:$((port + 10 + i))"; done
    log=(--cluster-peers "$peers")
    [ -z "${KAFKA:-}" ] || log=(--journal kafka --kafka-bootstrap "$KAFKA" --kafka-create-topics)
    [ "${SINGLE_BROKER:-0}" != 1 ] || log+=(--single-broker)
    mkdir -p "$dir"
    : >"$dir/pids"
    for i in $(seq 0 "$last"); do
        "$fealty" node --data "$dir/node$i" --listen "127.0.0.1:$((port + i))" \
            --cluster-listen "127.0.0.1:$((port + 10 + i))" "${log[@]}" \
            >"$dir/node$i.log" 2>&1 </dev/null &
        echo $! >>"$dir/pids"
    done
    for i in $(seq 0 "$last"); do
        until curl -fsS -o /dev/null --max-time 2 "http://127.0.0.1:$((port + i))/readyz" 2>/dev/null; do
            if [ $SECONDS -ge $deadline ]; then
                echo "three_nodes.sh: node $i is not ready; the end of its log:" >&2
                tail -n 20 "$dir/node$i.log" >&2
                stop
                exit 1
            fi
            sleep 0.1
        done
    done
    for i in $(seq 0 "$last"); do echo "http://127.0.0.1:$((port + i))"; done
}

case "$command" in
start) start "${@:3}" ;;
stop) stop ;;
*) usage ;;
esac
