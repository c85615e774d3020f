#!/bin/sh
# Keeps a cluster of three nodes on this machine: cluster.sh up | down
set -eu
cd "$(dirname "$0")/.."
dir=.muster
pidfile=$dir/pid
alive() { [ -f "$pidfile" ] && kill -0 "$(cat "$pidfile")" 2>/dev/null; }
case "${1:-}" in
up)
	alive && { echo "a cluster runs already: make down ends it"; exit 0; }
	mkdir -p "$dir"
	: >"$dir/out"
	setsid bin/muster dev --nodes 3 --dir "$dir" >"$dir/out" 2>&1 </dev/null &
	echo $! >"$pidfile"
	n=0
	until grep -q '^Ctrl-C' "$dir/out"; do
		alive || { cat "$dir/out" >&2; rm -f "$pidfile"; exit 1; }
		n=$((n + 1))
		[ "$n" -lt 600 ] || { echo "the cluster does not start: see $dir/out" >&2; exit 1; }
		sleep 0.1
	done
	grep -v '^Ctrl-C' "$dir/out"
	echo "make down ends the cluster and its tasks."
	;;
down)
	alive || { echo "no cluster runs"; exit 0; }
	pid=$(cat "$pidfile")
	kill -INT "$pid"
	while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
	rm -f "$pidfile"
	echo "the cluster has ended; make up starts it again where it was"
	;;
*)
	echo "usage: cluster.sh up | down" >&2
	exit 2
	;;
esac
