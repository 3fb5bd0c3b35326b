#!/bin/sh
# One run of the swarm across two network namespaces joined by a veth pair, beside one over loopback.
#
#   cargo build --release && sudo benches/veth.sh [--for 10s] [swarm's flags]
#
# Default flags: --scenario arena --clients 100 --events-per-s 0 --cues-per-s 0
# Rows of Markdown go to standard output, what the swarm says to standard error.
# Needs root and iproute2. What it makes it removes, also when it is interrupted.
set -eu

cd "$(dirname "$0")/.."
program=${STARLING:-target/release/starling}
time=10s
if [ "${1:-}" = --for ]; then
    time=$2
    shift 2
fi
[ $# -gt 0 ] || set -- --scenario arena --clients 100 --events-per-s 0 --cues-per-s 0
echo "two runs of $time and about 5 s around each" >&2
report=$(mktemp)
near=starling-a-$$
far=starling-b-$$
server=

clean() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    ip netns del "$near" 2>/dev/null || true
    ip netns del "$far" 2>/dev/null || true
    rm -f "$report"
}

# Every value of a report on a line of its own, after its path. The report has a key to a line.
flat() {
    awk '/[{[]$/ { key = $1; gsub(/[":{[]/, "", key); path[++depth] = key; next }
         /^ *[}\]]/ { depth--; next }
         { key = $1; gsub(/[":]/, "", key); value = $2; gsub(/[",]/, "", value)
           at = ""; for (i = 2; i <= depth; i++) at = at path[i] "."
           print at key, value }' "$report"
}

# A row of the table.
row() {
    flat | awk -v name="$1" '{ of[$1] = $2 }
        END { printf "| %s | %s | %.1f | %.2f | %.2f | %.1f | %.1f / %.1f | %.1f / %.1f | %.4f | %s of %s | %.1f | %s |\n",
            name, of["clients.connected"], of["positions.visible_per_client"],
            of["positions.bytes_per_visible_update"],
            (of["positions.bytes_down_per_s"] + 28 * of["positions.packets_down_per_s"]) / of["positions.visible_updates_per_s"],
            of["server.cpu_us_per_client_tick"], of["generator.rtt_ms.p50"], of["generator.rtt_ms.p99"],
            of["positions.staleness_ms.p50"], of["positions.staleness_ms.p99"], of["positions.error_m.max"],
            of["positions.wrong_set"], of["positions.pairs_checked"], of["generator.late_sends_ms.p99"], of["verdict"] }'
}
trap clean EXIT
trap 'exit 1' INT TERM

# By a name: a server in a namespace, and the swarm in another, at an address.
run() {
    name=$1
    # Only the two namespaces can reach its metrics.
    STARLING_HTTP__PUBLIC=true $2 "$program" serve --listen "$4:4433" --http "$4:8080" >/dev/null 2>&1 &
    server=$!
    sleep 1
    places="--server $4:4433 --insecure --metrics http://$4:8080/metrics --report $report --for $time"
    enter=$3
    shift 4
    # shellcheck disable=SC2086  # the flags are words
    $enter "$program" swarm $places "$@" >&2 || echo "the swarm ended with code $?" >&2
    row "$name"
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

echo "| way | clients | seen | B per visible update | with IP and UDP | server CPU, us per client and tick | RTT p50 / p99, ms | staleness p50 / p99, ms | error max, m | wrong set | swarm late p99, ms | verdict |"
echo "|---|---|---|---|---|---|---|---|---|---|---|---|"
run loopback "ip netns exec $near" "ip netns exec $near" 127.0.0.1 "$@"
run veth "ip netns exec $near" "ip netns exec $far" 10.99.0.1 "$@"
