#!/bin/sh
# cluster.sh - three nodes on loopback, for trying things out; Ctrl-C stops them
#
# Their data stay in cluster-data/; their output is in cluster-data/node*.log.
# Ports: FEALTY_CLUSTER_HTTP (8081) and the two after it, FEALTY_CLUSTER_PORT (7401) and the two after it.
set -eu

http=${FEALTY_CLUSTER_HTTP:-8081}
port=${FEALTY_CLUSTER_PORT:-7401}
root=${FEALTY_CLUSTER_DATA:-cluster-data}
password=${FEALTY_ADMIN_PASSWORD:-}
unset FEALTY_CLUSTER_HTTP FEALTY_CLUSTER_PORT FEALTY_CLUSTER_DATA

mkdir -p "$root"
if [ -z "$password" ]; then
    if [ ! -f "$root/password" ]; then
        (umask 077 && od -An -N12 -tx1 /dev/urandom | tr -d ' \n' >"$root/password")
    fi
    password=$(cat "$root/password")
fi

peers=""
for i in 0 1 2; do
    peers="$peers${peers:+,}127.0.0.1:$((port + i))"
done

pids=""
# Each node is told once and waited for; a node that hangs is known by its log.
stop() {
    trap - INT TERM EXIT
    # shellcheck disable=SC2086 # a list of numbers
    kill -TERM $pids 2>/dev/null || true
    # shellcheck disable=SC2086
    wait $pids 2>/dev/null || true
}
trap stop EXIT
trap 'exit 0' INT TERM

for i in 0 1 2; do
    FEALTY_ADMIN_PASSWORD="$password" build/fealty node --data "$root/node$((i + 1))" \
        --listen "127.0.0.1:$((http + i))" --cluster-listen "127.0.0.1:$((port + i))" --cluster-peers "$peers" \
        >>"$root/node$((i + 1)).log" 2>&1 &
    pids="$pids $!"
done

# Nothing to see before all three answer that they serve.
. tools/wait_ready.sh
wait_ready "$http" 3 60 "$root"

cat <<TEXT

Three nodes serve as one. Any of them answers for any customer:

  http://127.0.0.1:$http/   http://127.0.0.1:$((http + 1))/   http://127.0.0.1:$((http + 2))/

The user is \`admin\`, the password \`$password\`. Log in at one, work at another:

  export AUTH="Authorization: Token \$(curl -sS --json '{"username":"admin","password":"$password"}' http://127.0.0.1:$http/api/auth/login/ | sed 's/.*"token": *"\\([0-9a-f]*\\)".*/\\1/')"
  curl -sS -H "\$AUTH" http://127.0.0.1:$((http + 1))/api/loyalty/v1/loyaltyAccounts/
  curl -sS http://127.0.0.1:$((http + 2))/readyz

Stop one of them and see what happens (its process is one of:$pids):

  kill -9 NUMBER          its own customers get 503 with its name, the others go on
  build/fealty node --data $root/node1 --listen 127.0.0.1:$http --cluster-listen 127.0.0.1:$port --cluster-peers $peers
                          brings node 1 back, with nothing lost

A backup of all three, taken while they serve:

  build/fealty backup --cluster $root/node1,$root/node2,$root/node3 cluster-backup

Logs are in $root/node*.log. Ctrl-C stops all three.

TEXT

# shellcheck disable=SC2086
wait $pids
