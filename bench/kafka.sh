# kafka.sh - the part of compare.sh about a log in Kafka: one node on one broker, then three nodes on three
#
# Against Kafka's own producer tool on the same brokers, taking turns, with records as large as one earn's; and the time
# that one earn takes (through one of the nodes, whoever owns the customer) against a bare produce-and-fetch of a record of that size.

kafka_bed=""
kafka_record_bytes=680 # one earn in a record of many: command, rows and their share of the header, before compression

stop_kafka() {
    [ -n "$kafka_bed" ] || return 0
    NODES=3 "$root/bench/three_nodes.sh" stop "$work/on-kafka" 2>/dev/null
    python3 "$root/tests/kafka_bed.py" stop "$kafka_bed" >/dev/null 2>&1
    kafka_bed=""
}

measure_kafka() {
    if ! python3 "$root/tests/kafka_bed.py" fetch >"$work/kafka.log" 2>&1; then
        say "Kafka is not to be had here: left out ($(tail -n 1 "$work/kafka.log"))"
        return 0
    fi
    measure_on_brokers 1 0.5 0.15
    measure_on_brokers 3 0.4 0.1
}

# brokers and nodes, promise for batches, promise for single earns
measure_on_brokers() {
    local count=$1 round key="kafka-$1" bootstrap urls name producer url
    local -a others=() # the load goes to all nodes, as through a balancer
    name="$count + $count"
    say "starting $count broker(s) and $count node(s)"
    kafka_bed=$work/brokers
    rm -rf "$kafka_bed" "$work/on-kafka"
    bootstrap=$(python3 "$root/tests/kafka_bed.py" start "$kafka_bed" --brokers "$count" --port $((port + 40)) | sed -n 's/^bootstrap //p')
    python3 "$root/tests/kafka_bed.py" create-topic "$kafka_bed" plain --partitions 17 >/dev/null
    urls=$(KAFKA=$bootstrap NODES=$count SINGLE_BROKER=$([ "$count" = 1 ] && echo 1 || echo 0) \
        "$root/bench/three_nodes.sh" start "$work/on-kafka" $((port + 60))) || fail "the nodes on Kafka did not start"
    while read -r pid; do pids+=("$pid"); done <"$work/on-kafka/pids"
    node_url[kafka]=$(echo "$urls" | head -n 1)
    for url in $(echo "$urls" | tail -n +2); do others+=(--url "$url"); done
    node_pid[kafka]=$(tr '\n' ' ' <"$work/on-kafka/pids")
    prepare kafka
    preload kafka
    for round in $(seq "$rounds"); do
        say "on Kafka, $name, round $round of $rounds"
        settle kafka
        run "$key-one" "$round" kafka --workload earn --connections 1 --label "one earn after another on Kafka, $name"
        kafka_round_trip "$bootstrap" "$count" "$round" "$key"
        python3 "$root/tests/kafka_bed.py" produce-perf "$kafka_bed" --topic plain --size $kafka_record_bytes --records 200000 |
            awk '/records\/s/ { printf("{\"rate\":%s}\n", $1) }' >"$raw/$key-producer.$round.json"
        run "$key-batch" "$round" kafka "${others[@]}" --workload batch --batch-lines 1000 --connections 4 --label "batches of 1,000 on Kafka, $name"
        run "$key-earn" "$round" kafka "${others[@]}" --workload earn --connections $((128 * count)) --label "earn on Kafka, $name"
    done
    producer=$(median "$key-producer" rate)
    row "earns in batches of 1,000 on Kafka, $name" "$key-batch" operations_per_s "Kafka's producer tool, $kafka_record_bytes B" "$producer" "$2"
    row "earn on Kafka, $((128 * count)) connections, $name" "$key-earn" rate "Kafka's producer tool, $kafka_record_bytes B" "$producer" "$3"
    row "p50 of one earn on Kafka, $name, ms" "$key-one" p50_ms "bare produce and fetch" "$(median "$key-trip" p50_ms)" 1.5 below
    stop_kafka
}

# A record of that size there and back, by the journal alone.
kafka_round_trip() {
    SINGLE=$([ "$2" = 1 ] && echo 1 || echo "") BYTES=$kafka_record_bytes "$build/kafka/journal_probe" "$1" "trip-$3" latency |
        sed -n 's/.*p50 \([0-9.]*\) ms.*/{"p50_ms":\1}/p' | head -n 1 >"$raw/$4-trip.$3.json"
}
