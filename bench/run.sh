#!/bin/sh
# run.sh - what `make bench` runs
exec "$(dirname "$0")/compare.sh" "$@"
