#!/bin/sh
# fuzz.sh SECONDS TARGET... - runs each fuzz target for so long; findings stay in build/fuzz/findings/
set -eu
seconds="$1"
shift
mkdir -p build/fuzz/findings
for target in "$@"; do
    mkdir -p "build/fuzz/corpus/$target"
    seeds=""
    [ -d "tests/fuzz/corpus/$target" ] && seeds="tests/fuzz/corpus/$target"
    echo "fuzz $target for $seconds s"
    # shellcheck disable=SC2086 # $seeds is one folder or nothing
    "build/fuzz/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=0 \
        -artifact_prefix="build/fuzz/findings/$target-" "build/fuzz/corpus/$target" $seeds
done
