#!/bin/sh
# deps.sh GROUP... - installs the Debian packages of the named groups, once
#
# Quiet and quick when nothing is missing. Uses sudo when not root. On a system without dpkg it does nothing: install
# the libraries named below by your own means.
set -eu

build="gcc make libc6-dev librdkafka-dev librocksdb-dev libczmq-dev libcivetweb-dev libsodium-dev libmsgpack-dev tzdata curl"
test="libcriterion-dev clang-14 libclang-rt-14-dev python3"
check="clang-format-14 clang-tidy-14"
bench="postgresql python3"
kafka="maven openjdk-17-jre-headless iproute2"

command -v dpkg-query >/dev/null 2>&1 || exit 0

wanted=""
for group in "$@"; do
    case "$group" in
    build) wanted="$wanted $build" ;;
    test) wanted="$wanted $test" ;;
    check) wanted="$wanted $check" ;;
    bench) wanted="$wanted $bench" ;;
    kafka) wanted="$wanted $kafka" ;;
    *) echo "deps.sh: no group named '$group' (build, test, check, bench, kafka)" >&2; exit 1 ;;
    esac
done

# One question for all packages. dpkg-query answers only for those it knows, and "not-installed" for removed ones.
# A package that another one provides (a transitional name) counts as installed.
installed=" $(dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\n' 2>/dev/null |
    sed -n 's/^installed //p' | tr -d ',' | tr '\n' ' ') "
missing=""
for package in $wanted; do
    case "$installed" in
    *" $package "*) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

by_hand="apt-get update; apt-get install --no-install-recommends$missing"
root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "These packages are missing; install them as root, then try again:" >&2
        echo "    $by_hand" >&2
        exit 1
    fi
    root="sudo"
fi
echo "Installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# One sudo for all, which keeps no environment: the variable is set behind it. Another apt at work (a fresh machine
# updates itself) is waited for. An update that failed may have been about a source that none of these packages needs,
# so the install decides.
# shellcheck disable=SC2086 # a list of names
if ! $root sh -c '
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
    ' sh $missing </dev/null >"$log" 2>&1; then
    cat "$log" >&2
    echo "The packages could not be installed; the lines above say why. As root, by hand:" >&2
    echo "    $by_hand" >&2
    exit 1
fi
