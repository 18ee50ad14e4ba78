# certbridged. `make help` lists what can be done.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION)
BUILD    := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)'
BUF      := $(GO) tool -modfile=tools/proto/go.mod buf
LINT     := $(GO) tool -modfile=tools/lint/go.mod golangci-lint
VULN     := $(GO) tool -modfile=tools/vuln/go.mod govulncheck
FUZZTIME ?= 20s
# dcv-lego is built with a copy of lego that takes literal records: docs/adr/0006-literal-records.md.
LEGO     := cmd/plugins/dcv-lego
PROGRAMS := ./cmd/certbridged ./cmd/certbridge-sandbox
PLUGINS  := $(addprefix ./,$(filter-out $(LEGO),$(patsubst %/main.go,%,$(wildcard cmd/plugins/*/main.go))))
# Never from the cache: many tests build and run programs, which go test does not see as something they depend on.
TESTFLAGS ?= -count=1 -timeout 40m

.PHONY: help deps build light lego run sandbox-all bench bench-peers benchmark test race lint proto proto-check tidy-check fuzz-short e2e vuln clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install the Debian packages that the tests use (as root; otherwise say which are missing)
	@tools/deps.sh

build: light lego ## build everything: build/bin and build/plugins

light: ## build all but dcv-lego, which alone takes minutes the first time
	@mkdir -p build/bin build/plugins
	$(BUILD) -o build/bin/ $(PROGRAMS)
	$(BUILD) -o build/plugins/ $(PLUGINS)
	@chmod go-w build build/bin build/plugins build/bin/* build/plugins/*

lego: ## build dcv-lego with a copy of lego that takes literal records
	@mkdir -p build/plugins
	$(GO) run ./tools/legohook -out build
	GOWORK=off $(BUILD) -modfile=build/lego.mod -o build/plugins/ ./$(LEGO)
	@chmod go-w build build/plugins build/plugins/*

run: light ## see what certbridged does: a daemon in the foreground that renews a certificate under run/
	$(GO) build -o build/bin/demo ./examples/demo
	@build/bin/demo

bench: benchmark ## measure: make bench BENCH='-parts ab -orders 100' for a part; the result is in build/bench/result.json
	@build/bench/bench $(BENCH)

bench-peers: benchmark ## measure other ACME clients at the same work: CertMagic, lego, and those of Debian that are installed
	cd bench/peers && GOWORK=off $(GO) build -o ../../build/bench/peers .
	@build/bench/bench -parts p $(BENCH)

benchmark: light
	@mkdir -p build/bench
	$(GO) run ./tools/pebblemend -out build/bench
	GOWORK=off $(GO) build -modfile=build/bench/pebble.mod -o build/bench/pebble github.com/letsencrypt/pebble/v2/cmd/pebble
	$(GO) build -o build/bench/bench ./bench

sandbox-all: light ## rehearse: one certificate at each kind of CA, ordered from stand-ins, served, renewed, with what it would have cost
	$(GO) build -o build/bin/demo ./examples/demo
	$(GO) build -o build/bin/pebble github.com/letsencrypt/pebble/v2/cmd/pebble
	@build/bin/demo rehearse

test: deps ## all tests, with everything real that they need
	$(GO) vet ./...
	$(GO) test $(TESTFLAGS) ./...
	cd examples/ca-plugin && $(GO) vet ./... && $(GO) test $(TESTFLAGS) ./...

race: deps ## all tests under the race detector
	$(GO) test -race $(TESTFLAGS) ./...

e2e: deps build ## the end-to-end and crash tests alone
	$(GO) test $(TESTFLAGS) -v ./test/e2e/...

lint: ## golangci-lint and buf lint
	$(LINT) run ./...
	$(BUF) lint

proto: ## generate Go from the .proto files
	$(BUF) lint
	$(BUF) generate

proto-check: ## the generated Go is that of the .proto files, and nothing in them breaks the last release
	$(BUF) lint
	$(BUF) generate
	git diff --exit-code -- proto
	@tag=$$(git describe --tags --abbrev=0 2>/dev/null || true); \
	if [ -n "$$tag" ]; then $(BUF) breaking --against ".git#tag=$$tag"; \
	else $(BUF) breaking --against '.git#branch=HEAD'; echo "no release yet: compared with the last commit"; fi

tidy-check: ## go.mod and go.sum are tidy in every module
	for m in . examples/ca-plugin bench/peers; do (cd $$m && $(GO) mod tidy -diff); done

fuzz-short: ## every fuzz target for $(FUZZTIME)
	@tools/fuzz.sh $(FUZZTIME)

vuln: ## known vulnerabilities in what is linked (needs the vulnerability database on the network)
	$(VULN) ./...

clean: ## remove what was built and the demo's folder
	rm -rf build run
