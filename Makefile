# Quartet. `make help` lists the targets.

SHELL      := /bin/bash
BUILD      := build
MULTIARCH  := $(shell gcc -print-multiarch 2>/dev/null)
VERSION    := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS    := -ldflags "-X main.version=$(VERSION)"
GOFLAGS    += -trimpath
PROGRAMS   := quartetd quartet-gateway quartetctl
GO         := go

# srtgo links -lsrt. Debian has two flavours of libsrt; the GnuTLS one does
# AES-256 some fifty times faster, so build/lib/libsrt.so points at it.
SRTLIB     := $(BUILD)/lib/libsrt.so
export CGO_LDFLAGS := -L$(CURDIR)/$(BUILD)/lib $(CGO_LDFLAGS)
export GOFLAGS

# golangci-lint is built from its own module, so that its dependencies stay out of ours.
LINT       := $(BUILD)/bin/golangci-lint
LINT_VER   := v2.6.2

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: deps-%
deps-%:
	@.ci/deps build $(subst +, ,$*)

$(SRTLIB): | deps-build
	@mkdir -p $(@D)
	@ln -sf /usr/lib/$$(gcc -print-multiarch)/libsrt-gnutls.so $@

.PHONY: build
build: $(SRTLIB) ## all programs, into build/
	$(GO) build $(LDFLAGS) -o $(BUILD)/ $(addprefix ./cmd/,$(PROGRAMS)) ./tests/relay/cmd/relay

.PHONY: demo
demo: deps-demo build ## the whole chain with a live picture (DURATION=30 ends by itself, INPUT=udp://… for your own feed)
	@exec $(BUILD)/quartetctl demo --bin $(BUILD) $(if $(DURATION),--duration $(DURATION)) $(if $(INPUT),--input $(INPUT)) $(DEMO_FLAGS)

.PHONY: test
test: deps-test $(SRTLIB) ## every test that fits an ordinary machine, ≤15 minutes
	$(GO) vet ./...
	$(GO) test -timeout 14m ./...

.PHONY: test-race
test-race: deps-test $(SRTLIB) ## the same under the race detector
	$(GO) test -race -timeout 30m ./...

FUZZTIME ?= 30s
.PHONY: fuzz
fuzz: $(SRTLIB) ## every fuzz target for FUZZTIME (30s) each
	@$(GO) list ./... | while read -r pkg; do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

.PHONY: format
format: ## rewrite the Go files as gofmt wants them
	gofmt -w $$(git ls-files '*.go')

$(LINT):
	GOFLAGS= CGO_LDFLAGS= GOBIN=$(CURDIR)/$(BUILD)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VER)

.PHONY: lint
lint: $(LINT) $(SRTLIB) ## golangci-lint, pinned
	$(LINT) run ./...

.PHONY: check
check: $(SRTLIB) ## format, vet, lint, test
	@bad=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$bad" ] || { echo "not gofmt'ed (make format):"; echo "$$bad"; exit 1; }
	$(MAKE) lint
	$(MAKE) test

.PHONY: bench
bench: deps-bench build ## against srt-live-transmit and librist; writes build/bench/report.md
	$(GO) run ./tests/bench --bin $(BUILD) --out $(BUILD)/bench $(BENCH_FLAGS)

SOAK ?= 1h
.PHONY: soak
soak: build ## hours on loopback: memory, descriptors and goroutines must stay flat
	$(GO) test -count=1 -timeout 0 -run TestF24 ./tests/faults -args -soak $(SOAK)

ARM := CC=aarch64-linux-gnu-gcc GOARCH=arm64 CGO_ENABLED=1 \
	CGO_LDFLAGS="-L$(CURDIR)/$(BUILD)/lib-arm64 -L/usr/lib/aarch64-linux-gnu"
.PHONY: build-arm64
build-arm64: deps-arm64 ## the programs for the box, cross-built, into build/arm64/
	@mkdir -p $(BUILD)/lib-arm64 $(BUILD)/arm64
	@ln -sf /usr/lib/aarch64-linux-gnu/libsrt-gnutls.so $(BUILD)/lib-arm64/libsrt.so
	$(ARM) $(GO) build $(LDFLAGS) -o $(BUILD)/arm64/ $(addprefix ./cmd/,$(PROGRAMS))

.PHONY: test-arm64
test-arm64: build-arm64 ## unit tests of the packet path under qemu-user
	$(ARM) $(GO) test -exec "qemu-aarch64 -L /" -timeout 20m ./fec/... ./capture/mpegts ./uplink ./uplink/rtp

.PHONY: clean
clean: ## remove build/
	rm -rf $(BUILD)
