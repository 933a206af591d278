# Quartet. `make help` lists the targets.

SHELL      := /bin/bash
BUILD      := build
VERSION    := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PROGRAMS   := quartetd quartet-gateway quartetctl quartet-engine quartet-manage quartet-netd
GO         := go

# The version comes from above, so that a folder git does not trust builds too.
GOFLAGS    += -buildvcs=false
# Paths of this machine stay out of programs, not out of tests, which look for
# their folder.
BUILDFLAGS := -trimpath -ldflags "-X main.version=$(VERSION)"

# srtgo links -lsrt. Debian has two flavours of libsrt; the GnuTLS one does
# AES-256 some fifty times faster, so build/lib/libsrt.so points at it.
SRTLIB     := $(BUILD)/lib/libsrt.so
export CGO_LDFLAGS := -L$(CURDIR)/$(BUILD)/lib $(CGO_LDFLAGS)
export GOFLAGS

# golangci-lint is built from its own module, so that its dependencies stay out of ours.
LINT_VER   := v2.15.0
LINT       := $(BUILD)/bin/golangci-lint-$(LINT_VER)

# Packages whose tests run against the clock, over real sockets and beside
# other programs: one after the other, so that none starves another.
REALTIME   := capture/engine capture/srt capture/tsfile capture/udp cmd/% fec/st2022 tests/bench tests/chain tests/demo tests/faults \
	tests/peers tests/relay tests/relay/% updater/rauc uplink/gateway uplink/srt

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# deps-build+test: see .ci/deps. All groups of a target at once, so that there
# is one line to type.
deps-%:
	@.ci/deps $(subst +, ,$*)

$(SRTLIB): | deps-build
	@mkdir -p $(@D)
	@ln -sf /usr/lib/$$(gcc -print-multiarch)/libsrt-gnutls.so $@

# The box's page. Its files are embedded in quartet-manage; without them the
# programs show the script-free rescue page, so a machine without Node builds too.
UI    := device/web/ui
PAGE  := $(UI)/dist/index.html
$(UI)/node_modules/.package-lock.json: $(UI)/package.json $(UI)/package-lock.json
	cd $(UI) && npm ci
	@touch $@

$(PAGE): $(UI)/node_modules/.package-lock.json $(UI)/index.html $(UI)/vite.config.ts $(UI)/tsconfig.json $(shell find $(UI)/src $(UI)/public -type f 2>/dev/null)
	cd $(UI) && npm run build
	@touch $@

.PHONY: page
page: deps-page $(PAGE) ## the box's page, into device/web/ui/dist/ (Node 18 or newer)

.PHONY: build
build: $(SRTLIB) ## all programs, into build/; with the page where there is Node
	@! command -v npm >/dev/null || $(MAKE) --no-print-directory $(PAGE) || echo "make: the page is not built (above); the box will show its rescue page" >&2
	$(GO) build $(BUILDFLAGS) -o $(BUILD)/ $(addprefix ./cmd/,$(PROGRAMS)) ./tests/relay/cmd/relay

.PHONY: demo
demo: deps-build+demo build ## the whole chain with a live picture (DURATION=30 ends by itself, INPUT=udp://… for your own feed, INPUT=/dev/video0 for a device, TELEMETRY=0 without a telemetry home)
	@[ -x $(COLLECTOR) ] || [ "$(TELEMETRY)" = 0 ] || { echo "make: building an OpenTelemetry Collector, the demo's telemetry home: once, a minute or three (TELEMETRY=0 does without)"; \
		$(MAKE) --no-print-directory $(COLLECTOR) >$(BUILD)/otelcol.log 2>&1 || echo "make: no telemetry home in this demo: the Collector could not be built, see $(BUILD)/otelcol.log" >&2; }
	@exec $(BUILD)/quartetctl demo --bin $(BUILD) $(if $(DURATION),--duration $(DURATION)) $(if $(INPUT),--input '$(INPUT)') \
		$$([ -x $(COLLECTOR) ] && [ "$(TELEMETRY)" != 0 ] && echo --collector $(COLLECTOR)) $(DEMO_FLAGS)

# $(call tests,FLAGS): the tests of pure logic in parallel, then those of
# REALTIME; both even if the first fail. The latter always run: they start
# programs of ours, whose changes Go's cache of results does not see.
define tests
@all=$$($(GO) list ./...) && module=$$($(GO) list -m) && \
realtime=$$(grep -xE "$$module/($(subst %,.*,$(subst $() ,|,$(strip $(REALTIME)))))" <<<"$$all") && \
logic=$$(grep -vxF "$$realtime" <<<"$$all") && rc=0 && set -x && \
{ $(GO) test -vet=off $(1) $$logic || rc=1; $(GO) test -vet=off -count=1 -p 1 $(1) $$realtime || rc=1; exit $$rc; }
endef

.PHONY: test
test: deps-build+test $(SRTLIB) ## every test that fits an ordinary machine, ≤15 minutes
	$(GO) vet ./...
	$(call tests,-timeout 14m)

.PHONY: test-browser
test-browser: deps-build+test+page+browser page build ## the page in Chromium, against the real programs
	cd $(UI) && npm test
	$(GO) test -vet=off -count=1 -tags browser -timeout 20m ./tests/browser -args -bin $(CURDIR)/$(BUILD) $(BROWSER_FLAGS)

.PHONY: test-race
test-race: deps-build+test $(SRTLIB) ## the same under the race detector
	$(call tests,-race -timeout 30m)

# Minimizing is bounded: by default each interesting input may take a minute.
FUZZTIME ?= 30s
.PHONY: fuzz
fuzz: $(SRTLIB) ## every fuzz target for FUZZTIME (30s) each
	@$(GO) list ./... | while read -r pkg; do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$pkg || exit 1; \
		done; \
	done

GOFILES = $$(git ls-files --cached --others --exclude-standard --deduplicate '*.go')
.PHONY: format
format: ## rewrite the Go files as gofmt wants them
	gofmt -w $(GOFILES)

$(LINT): | deps-build
	GOFLAGS= CGO_LDFLAGS= GOBIN=$(CURDIR)/$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VER)
	@mv $(@D)/golangci-lint $@

.PHONY: lint
lint: $(LINT) $(SRTLIB) ## golangci-lint, pinned
	$(LINT) run ./...

.PHONY: check
check: $(SRTLIB) ## format, vet, lint, test
	@bad=$$(gofmt -l $(GOFILES)) && [ -z "$$bad" ] || { echo "not gofmt'ed (make format):"; echo "$$bad"; exit 1; }
	$(MAKE) lint
	$(MAKE) test

# The OpenTelemetry Collector that tests talk to, from its own modules: the
# manifest says which. Its builder's version and those need not be the same.
OCB_VER    := v0.164.0
OCB        := $(BUILD)/bin/ocb-$(OCB_VER)
COLLECTOR  := $(BUILD)/otelcol/otelcol

$(OCB): | deps-build
	GOFLAGS= CGO_LDFLAGS= GOBIN=$(CURDIR)/$(@D) $(GO) install go.opentelemetry.io/collector/cmd/builder@$(OCB_VER)
	@mv $(@D)/builder $@

$(COLLECTOR): tests/collector/builder.yaml $(OCB)
	GOFLAGS= CGO_LDFLAGS= CGO_ENABLED=0 $(OCB) --config $< --skip-strict-versioning
	@touch $@

.PHONY: test-collector
test-collector: $(COLLECTOR) ## telemetry against a real OpenTelemetry Collector, restarted in the middle; builds it first, some 5 minutes
	$(GO) test -count=1 -timeout 10m -v ./tests/collector -args -collector $(CURDIR)/$(COLLECTOR)

BOXES ?= 1000
.PHONY: fleet
fleet: $(COLLECTOR) ## BOXES (1000) against that Collector, with figures
	$(GO) run ./tests/fleet --collector $(COLLECTOR) --boxes $(BOXES)

.PHONY: bench
bench: deps-build+bench build ## against srt-live-transmit and librist; writes build/bench/report.md
	$(GO) run ./tests/bench --bin $(BUILD) --out $(BUILD)/bench $(BENCH_FLAGS)

SOAK ?= 1h
.PHONY: soak
soak: build ## hours on loopback: memory, descriptors and goroutines must stay flat
	$(GO) test -count=1 -timeout 0 -run TestF24 ./tests/faults -args -soak $(SOAK)

ARM := CC=aarch64-linux-gnu-gcc GOARCH=arm64 CGO_ENABLED=1 \
	PKG_CONFIG_LIBDIR=/usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig \
	CGO_LDFLAGS="-L$(CURDIR)/$(BUILD)/lib-arm64 -L/usr/lib/aarch64-linux-gnu"
ARM_RUN := $(if $(filter aarch64,$(shell uname -m)),,-exec "qemu-aarch64 -L /")
.PHONY: build-arm64
build-arm64: deps-arm64 ## the programs for the box, cross-built, into build/arm64/
	@mkdir -p $(BUILD)/lib-arm64 $(BUILD)/arm64
	@ln -sf /usr/lib/aarch64-linux-gnu/libsrt-gnutls.so $(BUILD)/lib-arm64/libsrt.so
	$(ARM) $(GO) build $(BUILDFLAGS) -o $(BUILD)/arm64/ $(addprefix ./cmd/,$(PROGRAMS))

.PHONY: test-arm64
test-arm64: build-arm64 ## unit tests of the packet path under qemu-user
	$(ARM) $(GO) test $(ARM_RUN) -timeout 20m ./fec/... ./capture/mpegts ./uplink ./uplink/rtp

# The lab image and its versions: 1.0.0 is on the disk, 1.1.0 a good update, the
# others are broken on purpose. Only what changed is made again.
QEMU_DIR := $(BUILD)/qemu
IMAGE    := tests/qemu/image
define lab-image
CGO_ENABLED=0 GOARCH=arm64 $(GO) build -trimpath -o $(BUILD)/arm64/quartet-lab-agent ./tests/qemu/agent
$(IMAGE)/build.sh base $(QEMU_DIR) $(BUILD)/arm64
$(IMAGE)/build.sh slot $(QEMU_DIR) 1.0.0
$(IMAGE)/build.sh disk $(QEMU_DIR) 1.0.0
$(IMAGE)/build.sh slot $(QEMU_DIR) 1.1.0
$(IMAGE)/build.sh bundle $(QEMU_DIR) 1.1.0
$(IMAGE)/build.sh slot $(QEMU_DIR) 1.2.0 $(IMAGE)/broken/crash
$(IMAGE)/build.sh bundle $(QEMU_DIR) 1.2.0
endef

.PHONY: test-qemu
test-qemu: deps-build+qemu build build-arm64 ## the firmware in an emulated box: boots, streams, updates, comes back; ≤15 minutes
	$(lab-image)
	$(GO) test -vet=off -count=1 -tags qemu -timeout 50m -v ./tests/qemu -args -image $(CURDIR)/$(QEMU_DIR) -bin $(CURDIR)/$(BUILD) $(QEMU_FLAGS)

.PHONY: test-qemu-full
test-qemu-full: deps-build+qemu+lab build build-arm64 ## and more broken versions, power cuts, watchdog, network; hours
	$(lab-image)
	$(IMAGE)/build.sh slot $(QEMU_DIR) 1.3.0 $(IMAGE)/broken/hang
	$(IMAGE)/build.sh bundle $(QEMU_DIR) 1.3.0
	$(IMAGE)/build.sh slot $(QEMU_DIR) 1.3.1 $(IMAGE)/broken/headless
	$(IMAGE)/build.sh bundle $(QEMU_DIR) 1.3.1
	$(IMAGE)/build.sh slot $(QEMU_DIR) 1.3.2 $(IMAGE)/broken/nodata
	$(IMAGE)/build.sh bundle $(QEMU_DIR) 1.3.2
	$(IMAGE)/build.sh slot $(QEMU_DIR) 1.4.0 $(IMAGE)/broken/mute
	$(IMAGE)/build.sh bundle $(QEMU_DIR) 1.4.0
	$(IMAGE)/build.sh engine $(QEMU_DIR)
	$(IMAGE)/build.sh slot $(QEMU_DIR) 1.5.0 $(QEMU_DIR)/engine
	$(IMAGE)/build.sh disk $(QEMU_DIR) 1.5.0 engine
	CGO_ENABLED=0 GOARCH=arm64 $(GO) test -c -tags qemu -trimpath -ldflags='-s -w' -o $(BUILD)/sdi.test.arm64 ./capture/sdi
	CGO_ENABLED=0 GOARCH=arm64 $(GO) test -c -trimpath -ldflags='-s -w' -o $(BUILD)/board.test.arm64 ./board/models
	$(IMAGE)/build.sh evk $(QEMU_DIR) $(BUILD)/board.test.arm64
	$(GO) test -vet=off -count=1 -tags qemu -timeout 0 -v ./tests/qemu -args -image $(CURDIR)/$(QEMU_DIR) -bin $(CURDIR)/$(BUILD) -full $(QEMU_FLAGS)

# The version of a source archive is what updates compare: a tag, or a
# pre-release of nothing.
SOURCE_VERSION := $(or $(SOURCE),$(patsubst v%,%,$(shell git describe --tags --exact-match 2>/dev/null)),0.0.0-dev)
.PHONY: source
source: deps-build page ## the tree with vendor/ and the page, for Buildroot, into build/source/ (SOURCE=1.4.0); then built from it, offline
	buildroot/scripts/source $(SOURCE_VERSION) $(BUILD)/source
	CGO_LDFLAGS="$(CGO_LDFLAGS)" buildroot/scripts/source --check $(BUILD)/source/quartet-$(SOURCE_VERSION).tar.gz

.PHONY: check-buildroot
check-buildroot: ## BUILDROOT=dir, a checkout of Buildroot: are buildroot/ and its configurations whole?
	@if [ -z "$(BUILDROOT)" ]; then echo "check-buildroot: NOT RUN: give BUILDROOT=dir, a checkout of Buildroot 2026.08"; \
	else buildroot/scripts/check "$(BUILDROOT)"; fi

.PHONY: sbom
sbom: build ## what our programs are made of (CycloneDX), into build/sbom.cdx.json
	$(GO) run ./buildroot/sbom -version "$(VERSION)" -epoch $$(git log -1 --format=%ct 2>/dev/null || echo 0) \
		-lock $(UI)/package-lock.json -out $(BUILD)/sbom.cdx.json $(addprefix $(BUILD)/,$(PROGRAMS))
	@echo $(BUILD)/sbom.cdx.json

.PHONY: clean
clean: ## remove build/
	rm -rf $(BUILD)
