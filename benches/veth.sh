#!/bin/sh
# One run of the swarm across two network namespaces joined by a veth pair, beside one over loopback.
#
#   cargo build --release && sudo benches/veth.sh [swarm's flags]
#
# Default flags: --scenario arena --clients 100 --events-per-s 0 --cues-per-s 0 --for 10s
# Needs root and iproute2. What it makes it removes, also when it is interrupted.
set -eu

cd "$(dirname "$0")/.."
program=${STARLING:-target/release/starling}
[ $# -gt 0 ] || set -- --scenario arena --clients 100 --events-per-s 0 --cues-per-s 0 --for 10s
near=starling-a-$$
far=starling-b-$$
server=

clean() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    ip netns del "$near" 2>/dev/null || true
    ip netns del "$far" 2>/dev/null || true
}
trap clean EXIT
trap 'exit 1' INT TERM

# A server in a namespace, and the swarm in another, at an address.
run() {
    $1 "$program" serve --listen "$3:4433" --http "$3:8080" >/dev/null 2>&1 &
    server=$!
    sleep 1
    shift_flags="--server $3:4433 --insecure --metrics http://$3:8080/metrics"
    enter=$2
    shift 3
    # shellcheck disable=SC2086  # the flags are words
    $enter "$program" swarm $shift_flags "$@" || echo "the swarm ended with code $?"
    kill "$server" && wait "$server" 2>/dev/null || true
    server=
}

for name in "$near" "$far"; do
    ip netns add "$name"
    ip -n "$name" link set lo up
done
ip link add veth-a-$$ netns "$near" type veth peer name veth-b-$$ netns "$far"
ip -n "$near" addr add 10.99.0.1/24 dev veth-a-$$
ip -n "$far" addr add 10.99.0.2/24 dev veth-b-$$
ip -n "$near" link set veth-a-$$ up
ip -n "$far" link set veth-b-$$ up

echo "== loopback"
run "ip netns exec $near" "ip netns exec $near" 127.0.0.1 "$@"
echo "== veth"
run "ip netns exec $near" "ip netns exec $far" 10.99.0.1 "$@"
