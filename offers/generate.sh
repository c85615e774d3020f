#!/bin/sh
# Generates the Go code of every .proto file below offers/. Needs protoc (Debian: protobuf-compiler).
set -eu
cd "$(dirname "$0")"
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -o "$bin/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go
PATH="$bin:$PATH" protoc -I. --go_out=. --go_opt=module=muster/offers $(find . -name '*.proto' | sed 's|^\./||' | sort)
