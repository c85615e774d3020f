#!/bin/sh
# Generates record.pb.go. Needs protoc (Debian: protobuf-compiler).
set -eu
cd "$(dirname "$0")"
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -o "$bin/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go
PATH="$bin:$PATH" protoc -I../../.. -I../../../offers --go_out=../../.. --go_opt=paths=source_relative node/agent/checkpoint/record.proto
