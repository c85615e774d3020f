#!/bin/bash
# A tour: three nodes on this machine run tasks for three frameworks, one of them
# somebody else's; the tasks are measured; the leader is killed and nothing is lost.
# Ends with 0 if all of it happened.
set -euo pipefail
cd "$(dirname "$0")/.."
muster=$PWD/bin/muster
dir=$(mktemp -d /tmp/muster-demo-XXXXXX)
dev="" framework="" subscriber="" again=""

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
show() { # show COMMAND…: prints the command and runs it
	printf '\033[2m$ %s\033[0m\n' "${*/#$muster/muster}"
	"$@"
}
cleanup() {
	code=$?
	trap - EXIT INT TERM
	[ -z "$subscriber" ] || { kill "$subscriber" 2>/dev/null && wait "$subscriber" || true; }
	[ -z "$framework" ] || { kill -INT "$framework" 2>/dev/null && wait "$framework" || true; }
	[ -z "$again" ] || { kill "$again" 2>/dev/null && wait "$again" || true; }
	[ -z "$dev" ] || { kill -INT "$dev" 2>/dev/null && wait "$dev" || true; }
	[ "$code" = 0 ] || { echo "the demo failed; the end of the nodes' logs:"; tail -n 15 "$dir"/node*/muster.log "$dir"/*.out 2>/dev/null || true; }
	rm -rf "$dir"
	exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# await SECONDS WHAT COMMAND…: repeats the command until it succeeds
await() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		kill -0 "$dev" 2>/dev/null || { cat "$dir/dev.out" >&2; return 1; }
		[ "$SECONDS" -lt "$end" ] || { echo "waited in vain for $what" >&2; return 1; }
		sleep 0.1
	done
}
# what `muster nodes` says, asked at one node
asked=127.0.0.1:5050
role() { "$muster" nodes --api "$asked" | awk -v r="$1" '$2 == r { print $1 }'; }
address() { "$muster" nodes --api "$asked" | awk -v n="$1" '$1 == n { for (i = 1; i <= NF; i++) if ($i ~ /:5050$/) print $i }'; }
voters() { [ "$("$muster" nodes --api "$asked" | awk '$2 == "leader" || $2 == "voter"' | wc -l)" = 3 ]; }
running() { [ "$("$muster" tasks --api "$asked" | awk '$2 == "RUNNING"' | wc -l)" = "$1" ]; }
measured() { "$muster" usage --api "$asked" | awk -F '  +' 'NR == 1 { while ($++c != "CPU TIME" && c < NF); next } $1 ~ /^count/ && $c + 0 >= 0.3' | grep -q .; }
offered() { "$muster" offers --api "$asked" | grep -q by-hand; }

say "Three nodes found a cluster and elect its masters among themselves"
"$muster" dev --nodes 3 --dir "$dir" >"$dir/dev.out" 2>&1 &
dev=$!
up() { grep -q '^node3' "$dir/dev.out"; }
await 60 "the cluster" up
await 30 "three voters" voters
show "$muster" nodes
leader=$(role leader)
peer=$(address "$(role voter | head -1)")

say "A framework runs tasks through a peer that is not the leader ($peer)"
"$muster" run --api "$peer" --name count --instances 4 --cpus 0.2 --mem 64 --shell -- \
	'n=0; while :; do n=$((n+1)); [ $((n % 100000)) = 0 ] && echo $n && sleep 0.2; done' >"$dir/run.out" 2>&1 &
framework=$!
await 60 "four running tasks" running 4
show "$muster" tasks --api "$peer"
show "$muster" run --api "$peer" --follow -- echo "hello from a container"

say "Somebody else's framework, written for Mesos, does the same: msh of mesos-go"
show bin/clients/msh -silent -master "$peer" -- /bin/sh -c 'exit 0'
echo "exit code $?: TASK_FINISHED"

say "A third one is curl: it subscribes, and holds the offers it is made"
curl -sN -H 'Content-Type: application/json' -d '{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"by-hand"}}}' \
	"http://$peer/api/v1/scheduler" >"$dir/offers.out" &
subscriber=$!
await 30 "offers" offered
show "$muster" offers --api "$peer"
kill "$subscriber"
wait "$subscriber" 2>/dev/null || true
subscriber=""

say "What is allocated, and what the tasks really use, measured in the kernel"
show "$muster" agents --api "$peer"
await 30 "measurements" measured
show "$muster" usage --api "$peer"

say "The leader, $leader, is killed with -9"
before=$("$muster" tasks --api "$peer" | awk '$2 == "RUNNING" { print $1 }' | sort)
kill -9 "$(awk -v n="$leader" '$1 == n { print $4 }' "$dir/dev.out")"
asked=$peer
other() { l=$(role leader); [ -n "$l" ] && [ "$l" != "$leader" ]; }
await 30 "a new leader" other
show "$muster" nodes --api "$peer"

say "Its daemon is started again, as an init system would: the tasks it had run on, and it finds them"
printf '\033[2m$ muster daemon --config %s &\033[0m\n' "$dir/$leader/muster.yaml"
"$muster" daemon --config "$dir/$leader/muster.yaml" &
again=$!

say "The same tasks still run, and a new one finishes"
same() { [ "$("$muster" tasks --api "$peer" | awk '$2 == "RUNNING" { print $1 }' | sort)" = "$before" ]; }
await 30 "the same tasks" same
show "$muster" tasks --api "$peer"
show "$muster" run --api "$peer" --follow -- echo "hello after the change of leader"
kill -0 "$framework" || { echo "the framework lost its stream" >&2; exit 1; }

say "Done: the framework kept its stream, no task was lost. Cleaning up"
