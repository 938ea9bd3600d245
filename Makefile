# SPDX-License-Identifier: Apache-2.0
#
#   make run     install what is missing, build, start the gateway on 127.0.0.1:4000
#   make test    everything: unit tests, sanitizers, fuzz corpus, scenarios, real clients
#   make build   build/sluice
#   make release build-release/sluice: the same, optimized by a profile of itself under load
#   make bench   the release against nginx on this machine (make bench QUICK=1: about a minute)
#   make lint    layers, format, analyzers
#   make fuzz    libFuzzer over every target, SECONDS_EACH=30
#   make clean   removes what was built (the test packages stay)

SECONDS_EACH ?= 30
BENCH_FLAGS := $(if $(QUICK),--quick)
# A stranger's newer compiler may warn where ours does not; .ci/run insists.
WERROR ?= false
RELEASE := --buildtype=debugoptimized -Doptimization=2 -Db_lto=true -Dwerror=$(WERROR)
# The unit tests' programs are many: without link-time optimization they are linked in a tenth of the time.
UNIT := --buildtype=debugoptimized -Doptimization=2 -Dwerror=$(WERROR)
# Sanitizers mislead gcc's flow warnings; the other build has them all.
TRAINED := "-Dc_args=-Wno-missing-profile -Wno-coverage-mismatch -fprofile-partial-training"
SANITIZE := --buildtype=debugoptimized -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false -Dwerror=false

.PHONY: run build release test bench lint fuzz clean setup test-builds
.DEFAULT_GOAL := build

setup:
	@scripts/setup.sh build

build: setup
	@[ -f build/build.ninja ] || meson setup build $(RELEASE) >build/setup.out 2>&1 || \
		{ cat build/setup.out; exit 1; }
	@ninja --quiet -C build sluice

run: build
	@exec build/sluice serve --dev

test-builds: setup
	@mkdir -p build-unit build-san
	@[ -f build-unit/build.ninja ] || meson setup build-unit $(UNIT) >build-unit/setup.out 2>&1 || \
		{ cat build-unit/setup.out; exit 1; }
	@[ -f build-san/build.ninja ] || meson setup build-san $(SANITIZE) >build-san/setup.out 2>&1 || \
		{ cat build-san/setup.out; exit 1; }

test:
	@scripts/setup.sh test
	@$(MAKE) --no-print-directory build test-builds
	@python3 scripts/test.py

# Built with counters, run under the benchmark's load, built again with what was counted. A profile
# that is older than the source still serves: what it does not know is optimized as usual.
release: build
	@ninja --quiet -C build tests/bench/load
	@[ -f build-release/build.ninja ] || meson setup build-release $(RELEASE) $(TRAINED) >build/release.out 2>&1 || \
		{ cat build/release.out; exit 1; }
	@if [ ! -f build-release/trained ]; then \
		meson configure build-release -Db_pgo=generate && ninja --quiet -C build-release sluice && \
		SLUICE_BIN=$(CURDIR)/build-release/sluice python3 tests/bench/bench.py --train && \
		meson configure build-release -Db_pgo=use && touch build-release/trained; \
	fi
	@ninja --quiet -C build-release sluice

bench: release
	@scripts/setup.sh bench
	@SLUICE_BIN=$(CURDIR)/build-release/sluice python3 tests/bench/bench.py $(BENCH_FLAGS)

lint: build
	@python3 scripts/layers.py
	@python3 scripts/analyze.py

fuzz: setup
	@scripts/fuzz.sh $(SECONDS_EACH)

clean:
	@rm -rf build-unit build-san build-fuzz build-release
	@[ ! -d build ] || find build -mindepth 1 -maxdepth 1 ! -name venv ! -name setup ! -name nginx \
		-exec rm -rf {} +
