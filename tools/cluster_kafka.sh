#!/bin/sh
# cluster_kafka.sh - three nodes on real Kafka on loopback, to watch a take-over happen; Ctrl-C stops everything
#
# Three brokers are brought and started by tests/kafka_bed.py, unless KAFKA_BOOTSTRAP names a Kafka that is there already.
# Everything stays in cluster-kafka-data/, and goes on from there the next time.
# Ports: FEALTY_CLUSTER_HTTP (8081) and the two after it, FEALTY_CLUSTER_PORT (7411) and the two after it.
set -eu

http=${FEALTY_CLUSTER_HTTP:-8081}
port=${FEALTY_CLUSTER_PORT:-7411}
root=${FEALTY_CLUSTER_DATA:-cluster-kafka-data}
password=${FEALTY_ADMIN_PASSWORD:-}
bootstrap=${KAFKA_BOOTSTRAP:-}
unset FEALTY_CLUSTER_HTTP FEALTY_CLUSTER_PORT FEALTY_CLUSTER_DATA

mkdir -p "$root"
if [ -z "$password" ]; then
    if [ ! -f "$root/password" ]; then
        (umask 077 && od -An -N12 -tx1 /dev/urandom | tr -d ' \n' >"$root/password")
    fi
    password=$(cat "$root/password")
fi

pids=""
own_kafka=""
# Nodes first: they hand over what they own while Kafka is there. A node that hangs is known by its log.
stop() {
    trap - INT TERM EXIT
    # shellcheck disable=SC2086 # a list of numbers
    kill -TERM $pids 2>/dev/null || true
    # shellcheck disable=SC2086
    wait $pids 2>/dev/null || true
    if [ -n "$own_kafka" ]; then
        python3 tests/kafka_bed.py stop "$root/kafka" || true
    fi
}
trap stop EXIT
trap 'exit 0' INT TERM

if [ -z "$bootstrap" ]; then
    echo "Starting three Kafka brokers (the first time, Maven brings them) ..."
    own_kafka=yes
    bootstrap=$(python3 tests/kafka_bed.py start "$root/kafka" --brokers 3 | sed -n 's/^bootstrap //p')
    [ -n "$bootstrap" ] || exit 1
fi

# One line starts node $1; the text below shows it.
node() {
    echo "build/fealty node --data $root/node$1 --listen 127.0.0.1:$((http + $1 - 1)) --cluster-listen 127.0.0.1:$((port + $1 - 1)) --journal kafka --kafka-bootstrap $bootstrap --kafka-create-topics"
}

for i in 1 2 3; do
    # shellcheck disable=SC2046 # words, none of which holds a blank
    FEALTY_ADMIN_PASSWORD="$password" $(node $i) >>"$root/node$i.log" 2>&1 &
    eval "pid$i=$!"
    pids="$pids $!"
done

# Nothing to see before all three answer that they serve.
. tools/wait_ready.sh
wait_ready "$http" 3 120 "$root"

api=api/loyalty/v1
cat <<TEXT

Three nodes on Kafka ($bootstrap) serve as one. Any of them answers for any customer:

  http://127.0.0.1:$http/   http://127.0.0.1:$((http + 1))/   http://127.0.0.1:$((http + 2))/
  http://127.0.0.1:$http/cluster/   who is there, and who owns what

The user is \`admin\`, the password \`$password\`. Log in at one, work at another. A program and a customer:

  export AUTH="Authorization: Token \$(curl -sS --json '{"username":"admin","password":"$password"}' http://127.0.0.1:$http/api/auth/login/ | sed 's/.*"token": *"\\([0-9a-f]*\\)".*/\\1/')"
  curl -sS -H "\$AUTH" --json '{"name":"Points","start_date":"2020-01-01T00:00:00Z","end_date":"2099-01-01T00:00:00Z"}' http://127.0.0.1:$((http + 1))/$api/loyaltyPrograms/
  curl -sS -H "\$AUTH" --json '{"customer_id":"11111111-1111-4111-8111-111111111111","program":1,"points_balance":1000}' http://127.0.0.1:$((http + 2))/$api/loyaltyAccounts/

Watch a take-over. In a second terminal (with AUTH), through all nodes in turn:

  n=0; while :; do n=\$(((n + 1) % 3)); date +%T.%N; curl -sS -m 10 -H "\$AUTH" --json '{"customer_id":"11111111-1111-4111-8111-111111111111","program_id":1,"transaction_amount":1}' http://127.0.0.1:\$(($http + n))/$api/services/points/earn/; echo; sleep 0.1; done

Which node owns this customer (a customer's partition stands in the account's id):

  id=\$(curl -sS -H "\$AUTH" http://127.0.0.1:$http/$api/loyaltyAccounts/customer/11111111-1111-4111-8111-111111111111/ | sed 's/^[^0-9]*\([0-9]*\).*/\1/'); curl -sS http://127.0.0.1:$http/cluster/ | grep -o "\"partition\":\$(((id >> 37) * 16 / 65536)),\"owner\":\"[^\"]*\""

Kill it:

  127.0.0.1:$port   kill -9 $pid1
  127.0.0.1:$((port + 1))   kill -9 $pid2
  127.0.0.1:$((port + 2))   kill -9 $pid3

For some seconds its customers get 503 and 504, then another node goes on from the same balance: nothing that was answered 200 is
lost. Bring it back, and it catches up and takes its share again:

  $(node 1)
  $(node 2)
  $(node 3)

TEXT
if [ -n "$own_kafka" ]; then
    cat <<TEXT
Take a broker away, and bring it back:

  python3 tests/kafka_bed.py kill $root/kafka 1
  python3 tests/kafka_bed.py restart $root/kafka 1

TEXT
fi
echo "Logs are in $root/node*.log. Ctrl-C stops all."
echo

# Killing some of them is what this is for: the others go on until Ctrl-C.
# shellcheck disable=SC2086
wait $pids || true
