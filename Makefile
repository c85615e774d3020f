# Every target is one or two commands that can be typed by hand.
TAGS  := seccomp
SHIM  := cmd/muster/embedded/muster-shim
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

.PHONY: all build test lint demo up down bench generate deps clean

all: build

# bin/muster: the one binary. Without libseccomp: make build TAGS=
build: deps
	CGO_ENABLED=1 go build -tags "$(TAGS) netgo osusergo" -trimpath -ldflags '-s -w -extldflags "-static"' -o $(SHIM) ./cmd/muster-shim
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/muster ./cmd/muster

# What the build and the tests need from the system.
deps:
	@deploy/deps.sh

test: build
	go test -tags "$(TAGS)" -race -count=1 -timeout 20m ./...

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt'd:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet -tags "$(TAGS)" ./...
	go tool staticcheck -tags "$(TAGS)" ./...

# A real cluster on this machine runs a real framework's tasks and loses its leader.
demo: build
	deploy/demo.sh

# A cluster of three nodes that stays: http://127.0.0.1:5050 …
up: build
	deploy/cluster.sh up

down:
	deploy/cluster.sh down

bench: build
	deploy/bench.sh $(BENCH)

generate:
	deploy/deps.sh generate
	go generate ./...

clean:
	rm -rf bin $(SHIM) bench.json
