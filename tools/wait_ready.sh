# wait_ready.sh - waits until all nodes of a demonstration serve; to be sourced
#
#   wait_ready FIRST_PORT COUNT SECONDS DIRECTORY      ends the script with a sentence when one has ended or is not ready
#
# $pids: their processes. Their logs are DIRECTORY/node*.log.
wait_ready() {
    wait_tries=0
    wait_port=$1
    while [ "$wait_port" -lt $(($1 + $2)) ]; do
        until [ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$wait_port/readyz" || true)" = 200 ]; do
            wait_tries=$((wait_tries + 1))
            for pid in $pids; do
                if ! kill -0 "$pid" 2>/dev/null; then
                    echo "A node has ended; its log says why:" >&2
                    tail -n 3 "$4"/node*.log >&2
                    exit 1
                fi
            done
            if [ "$wait_tries" -gt $(($3 * 5)) ]; then
                echo "The nodes are not ready after $3 s; see $4/node*.log" >&2
                exit 1
            fi
            sleep 0.2
        done
        wait_port=$((wait_port + 1))
    done
}
