#!/bin/sh
# Installs what muster's build and tests need on Debian, or says what is missing.
#   deps.sh            to build and test
#   deps.sh generate   to generate code too
#   deps.sh bench      to measure all rows of make bench
set -eu
missing=""
need() { # need PACKAGE TEST…
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}
command -v go >/dev/null || { echo "muster needs Go 1.26 or newer on the PATH: https://go.dev/dl" >&2; exit 1; }
need gcc sh -c 'command -v gcc'
need libc6-dev test -e /usr/include/stdlib.h
need curl sh -c 'command -v curl'
if [ "${1:-}" = generate ]; then
	need protobuf-compiler sh -c 'command -v protoc'
	need libprotobuf-dev test -e /usr/include/google/protobuf/duration.proto
	need clang sh -c 'command -v clang'
	need llvm sh -c 'command -v llvm-strip'
	need libbpf-dev test -e /usr/include/bpf/bpf_helpers.h
fi
if [ "${1:-}" = bench ]; then
	need nginx-light sh -c 'command -v nginx'
	need wrk sh -c 'command -v wrk'
	need util-linux sh -c 'command -v taskset && command -v chrt'
fi
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "installing$missing"
	apt-get update -qq
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
	echo "muster needs these Debian packages:$missing" >&2
	echo "install them with: sudo apt-get install$missing" >&2
	exit 1
fi
