# Larder: one C program between Kafka and Grafana. `make help` lists what can be asked for.
#
# One compiler and one sanitizer make one variant, in its own folder: build/ for gcc, build/clang,
# build/address, build/clang-thread. File lists are wildcards: a new .c file is picked up.

V        ?= 0#                verbose: make V=1
SANITIZE ?=#                  address, undefined, thread, or address,undefined
FUZZ     ?=#                  1: fuzz targets get libFuzzer's driver (clang), address,undefined
JOBS     ?= $(shell nproc)
Q         = $(if $(filter 1,$(V)),,@)

# --- compiler, flags, variant ---------------------------------------------------------------------

ifeq ($(origin CC),default)
CC        = gcc
endif
ifeq ($(origin CXX),default)
CXX       = $(if $(findstring clang,$(CC)),$(subst clang,clang++,$(CC)),g++)
endif

comma    := ,
ifneq ($(FUZZ),)
SANITIZE := $(or $(SANITIZE),address$(comma)undefined)
endif
VARIANT  := $(filter-out gcc cc,$(notdir $(firstword $(CC)))) $(subst $(comma),-,$(SANITIZE)) \
            $(if $(FUZZ),fuzz)
VARIANT  := $(subst $() ,-,$(strip $(VARIANT)))
BUILD    := build$(if $(VARIANT),/$(VARIANT))

WARN      = -Wall -Wextra -Wshadow -Wundef -Wwrite-strings -Wcast-qual -Wpointer-arith -Wvla \
            -Wformat=2 -Wconversion -Wno-sign-conversion
CWARN     = -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
COMMON    = -I. -D_GNU_SOURCE -fno-omit-frame-pointer -pthread -MMD -MP $(WARN)
PKGS      = rdkafka libmicrohttpd libcurl libcrypto liblz4 zlib jansson yaml-0.1 re2
LIBS      = $(shell pkg-config --libs $(PKGS)) $(MALLOC) -lm

# The sanitizers bring their own allocator, so jemalloc goes. Their instrumentation makes gcc warn of
# what it does not see through; the plain builds are the ones that must be free of warnings.
ifeq ($(SANITIZE),)
MALLOC    = -ljemalloc
WARN     += -Werror
CFLAGS   ?= -O2 -g
else
CFLAGS   ?= -O1 -g
SANFLAG   = -fsanitize=$(SANITIZE)$(if $(FUZZ),$(comma)fuzzer-no-link) \
            -fno-sanitize-recover=all
endif

# --- files ------------------------------------------------------------------------------------------

FOLDERS   = base store ingest query rules api dashboards cmd
SRC       = $(sort $(wildcard $(FOLDERS:%=%/*.c) $(FOLDERS:%=%/*/*.c)))
OBJ       = $(SRC:%.c=$(BUILD)/%.o) $(BUILD)/base/regex.o $(BUILD)/dashboards/assets.o
MAIN      = $(BUILD)/cmd/main.o
LIBRARY   = $(BUILD)/liblarder.a
# ThreadSanitizer does not know the C11 threads that librdkafka uses.
THREADS   = $(if $(filter thread,$(SANITIZE)),$(BUILD)/tests/sanitize/c11_threads.o)

TESTS     = $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/*/test_*.c)))
FUZZED    = $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZERS   = $(FUZZED:%=$(BUILD)/tests/fuzz/fuzz_%)
SEEDS     = $(BUILD)/tests/fuzz/seeds
HELPERS   = $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/e2e/*.c bench/*.c)))
# What several tests, or benchmarks, of a folder share.
SUPPORT   = $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard tests/*/support/*.c bench/support/*.c)))
SHIMS     = $(patsubst %.c,$(BUILD)/%.so,$(sort $(wildcard tests/e2e/shim/*.c))) \
            $(BUILD)/tests/e2e/shim/disk.so

# --- build ------------------------------------------------------------------------------------------

all: $(BUILD)/larder ## build build/larder (the default)

tests: $(TESTS) $(FUZZERS) $(SEEDS) $(HELPERS) $(SHIMS) ## build the unit tests, fuzz targets and test helpers

$(BUILD)/larder: $(MAIN) $(THREADS) $(LIBRARY)
	@echo "  LINK   $@"
	$(Q)$(CXX) $(SANFLAG) -pthread -o $@ $^ $(LIBS)

$(LIBRARY): $(filter-out $(MAIN),$(OBJ))
	@echo "  AR     $@"
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC     $@"
	$(Q)$(CC) -std=c11 $(COMMON) $(CWARN) $(CFLAGS) $(SANFLAG) -c -o $@ $<

$(BUILD)/base/regex.o: base/regex.cc
	@mkdir -p $(@D)
	@echo "  CXX    $@"
	$(Q)$(CXX) -std=c++17 $(COMMON) $(CFLAGS) $(SANFLAG) -c -o $@ $<

# The web pages become arrays inside the program; `make deps` has fetched the chart library.
$(BUILD)/dashboards/assets.c: dashboards/embed.sh dashboards/package-lock.json \
        $(wildcard dashboards/page/* larder.yml)
	@mkdir -p $(@D)
	@echo "  EMBED  $@"
	$(Q)dashboards/embed.sh >$@.part && mv $@.part $@

$(BUILD)/dashboards/assets.o: $(BUILD)/dashboards/assets.c
	@echo "  CC     $@"
	$(Q)$(CC) -std=c11 $(COMMON) $(CWARN) $(CFLAGS) $(SANFLAG) -c -o $@ $<

$(BUILD)/libsupport.a: $(SUPPORT)
	@echo "  AR     $@"
	$(Q)rm -f $@ && ar rcs $@ $^

$(TESTS): %: %.o $(THREADS) $(BUILD)/libsupport.a $(LIBRARY)
	@echo "  LINK   $@"
	$(Q)$(CXX) $(SANFLAG) -pthread -o $@ $^ $(LIBS) -lcmocka

# A fuzz target is a plain function; the replay driver runs it over its corpus, libFuzzer for ever.
$(FUZZERS): %: %.o $(if $(FUZZ),,$(BUILD)/tests/fuzz/replay.o) \
        $(BUILD)/tests/store/support/folder.o $(LIBRARY)
	@echo "  LINK   $@"
	$(Q)$(CXX) $(SANFLAG) $(if $(FUZZ),-fsanitize=fuzzer) -pthread -o $@ $^ $(LIBS)

$(SEEDS): %: %.o $(BUILD)/libsupport.a $(LIBRARY)
	@echo "  LINK   $@"
	$(Q)$(CXX) $(SANFLAG) -pthread -o $@ $^ $(LIBS) -lcmocka

$(HELPERS): %: %.o $(THREADS) $(BUILD)/libsupport.a $(LIBRARY)
	@echo "  LINK   $@"
	$(Q)$(CXX) $(SANFLAG) -pthread -o $@ $^ $(LIBS)

$(BUILD)/tests/e2e/shim/%.so: tests/e2e/shim/%.c
	@mkdir -p $(@D)
	@echo "  SHIM   $@"
	$(Q)$(CC) -std=c11 $(COMMON) $(CWARN) $(CFLAGS) -fPIC -shared -o $@ $< -ldl

$(BUILD)/tests/e2e/shim/disk.so: $(sort $(wildcard tests/e2e/shim/disk/*.[ch]))
	@mkdir -p $(@D)
	@echo "  SHIM   $@"
	$(Q)$(CC) -std=c11 $(filter-out -MMD -MP,$(COMMON)) $(CWARN) $(CFLAGS) -fPIC -shared -o $@ \
	  $(filter %.c,$^) -ldl

# --- what people ask for ----------------------------------------------------------------------------
# These install what they lack and then build, so they call make again: the build lists its files
# and asks pkg-config only after the installation.

deps: ## install what the build lacks (apt-get, as root or by sudo)
	@deploy/install-deps.sh build
	@[ ! -x dashboards/fetch.sh ] || dashboards/fetch.sh

demo: deps ## build and run the whole thing on an embedded broker: DEMO="--seconds 60 --port 9595"
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@$(BUILD)/larder demo $(DEMO)

check: deps ## build and run all tests: SUITES="unit e2e" for some
	@deploy/install-deps.sh check
	@python3 tests/run_suites.py --jobs $(JOBS) $(SUITES)

campaign: deps ## the real-input test on 20 seeds; the store's proofs five times as long; exactly once in full
	@deploy/install-deps.sh check
	@$(MAKE) --no-print-directory -j$(JOBS) all tests
	@for t in store_model store_threads corruption repair crash crash_beside crash_meta; do \
	  LARDER_STEPS=5000000 $(BUILD)/tests/store/test_$$t || exit 1; done
	@LARDER_SITES=1 $(BUILD)/tests/store/test_crash_meta
	@LARDER_SEEDS=20 LARDER_PAIRS=200000 LARDER_CAMPAIGN=1 \
	  python3 tests/run_suites.py --jobs $(JOBS) e2e

lint: deps ## include order, headers alone, names, formatting, static analysis
	@deploy/install-deps.sh check lint
	@python3 tests/lint/lint.py --jobs $(JOBS)

fuzz: deps ## run fuzz targets for FUZZ_SECONDS (20) each: FUZZ_TARGETS="codec segment" for some
	@deploy/install-deps.sh check fuzz
	@$(MAKE) --no-print-directory -j$(JOBS) CC=clang FUZZ=1 \
	  $(if $(FUZZ_TARGETS),FUZZED="$(FUZZ_TARGETS)") fuzz-run

fuzz-run: $(FUZZERS)
	@tests/fuzz/run.sh $(BUILD)/tests/fuzz $(or $(FUZZ_SECONDS),20) $(JOBS) $(FUZZED)

fuzz-seeds: $(SEEDS) ## write the seeds that come out of stores into tests/fuzz/corpus
	@$(SEEDS) tests/fuzz/corpus

bench: deps ## the store's figures; events/s from a real Kafka to a query: BENCH="--events 2000000"
	@deploy/install-deps.sh bench
	@$(MAKE) --no-print-directory -j$(JOBS) all tests
	@python3 bench/store.py || echo "the store misses a target: bench/results/store.json"
	@python3 bench/ingest.py $(BENCH)

bench-memory: all tests ## memory of the ingestion while orders pass, against its bound: EVENTS=50000000 MEMORY=512MiB
	@rm -rf $(BUILD)/bench-memory
	@$(BUILD)/bench/intake_speed $(BUILD)/bench-memory $(or $(EVENTS),50000000) 1200 2 orders bounded \
	  ingest.memory=$(or $(MEMORY),512MiB); rc=$$?; rm -rf $(BUILD)/bench-memory; exit $$rc

clean-room: ## make demo and make check in a fresh Debian folder, with their times (needs root)
	@deploy/install-deps.sh clean-room
	@python3 deploy/clean_room.py $(CLEAN_ROOM)

clean: ## remove build/
	rm -rf build

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

-include $(OBJ:.o=.d) $(SUPPORT:.o=.d) $(TESTS:=.d) $(FUZZERS:=.d) $(SEEDS:=.d) $(HELPERS:=.d)
.PHONY: all tests deps demo check campaign lint fuzz fuzz-run fuzz-seeds bench bench-memory clean-room clean help
.SECONDARY:
