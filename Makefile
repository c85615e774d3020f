# Every target is one or two commands that can be typed by hand.
SHIM    := cmd/muster/embedded/muster-shim
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

.PHONY: all build clients test lint demo up down bench generate deps clean

all: build

# bin/muster: the one binary, with the lean shim inside.
build: deps
	CGO_ENABLED=1 go build -tags "netgo osusergo runc_nocriu" -trimpath -ldflags '-s -w -extldflags "-static"' -o $(SHIM) ./cmd/muster-shim
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/muster ./cmd/muster

# What the build and the tests need from the system.
deps:
	@deploy/deps.sh

# The third-party clients of the tests.
clients:
	go -C deploy/e2e/clients build -o ../../../bin/clients/ tool

# All packages under the race detector, then the built program as its users meet it.
test: build clients
	go test -race -count=1 -timeout 20m $$(go list ./... | grep -v /deploy/e2e)
	go test -count=1 -timeout 15m ./deploy/e2e

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt'd:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	go tool staticcheck ./...

# A real cluster on this machine runs a real framework's tasks and loses its leader.
demo: build clients
	deploy/demo.sh

# A cluster of three nodes that stays: http://127.0.0.1:5050 …
up: build
	deploy/cluster.sh up

down:
	deploy/cluster.sh down

bench: build
	go run ./deploy/bench '$(BENCH)'

generate:
	deploy/deps.sh generate
	go generate ./...

clean:
	rm -rf bin $(SHIM) bench.json
