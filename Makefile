# Larder. `make help` lists what can be asked for.

V        ?= 0
Q         = $(if $(filter 1,$(V)),,@)
SANITIZE ?=
CC       ?= gcc
CXX      ?= g++

FOLDERS = base store ingest query api dashboards cmd
BUILD   = build$(if $(SANITIZE),/$(SANITIZE))

PKGS    = rdkafka libmicrohttpd liblz4 jansson yaml-0.1 re2
WARN    = -Wall -Wextra -Wshadow -Wundef -Wwrite-strings -Wcast-qual -Wpointer-arith -Wvla \
          -Wformat=2 -Wconversion -Wno-sign-conversion -Werror
CWARN   = -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
CFLAGS  ?= -O2 -g
COMMON  = -I. -D_GNU_SOURCE -fno-omit-frame-pointer -pthread -MMD -MP $(WARN)

# AddressSanitizer and its siblings bring their own allocator, so jemalloc goes.
ifeq ($(SANITIZE),)
MALLOC  = -ljemalloc
else
SANFLAG = -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
endif

LIBS    = $(shell pkg-config --libs $(PKGS)) $(MALLOC) -lm

SRC     = $(sort $(wildcard $(FOLDERS:%=%/*.c) $(FOLDERS:%=%/*/*.c)))
OBJ     = $(SRC:%.c=$(BUILD)/%.o) $(BUILD)/base/regex.o
LIBOBJ  = $(filter-out $(BUILD)/cmd/main.o,$(OBJ))
TESTSRC = $(sort $(wildcard tests/*/test_*.c))
TESTS   = $(TESTSRC:%.c=$(BUILD)/%)

all: $(BUILD)/larder ## build build/larder (the default)

$(BUILD)/larder: $(OBJ)
	@echo "  LINK $@"
	$(Q)$(CXX) $(SANFLAG) -pthread -o $@ $^ $(LIBS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	$(Q)$(CC) -std=c11 $(COMMON) $(CWARN) $(CFLAGS) $(SANFLAG) -c -o $@ $<

$(BUILD)/base/regex.o: base/regex.cc
	@mkdir -p $(@D)
	@echo "  CXX  $<"
	$(Q)$(CXX) -std=c++17 $(COMMON) $(CFLAGS) $(SANFLAG) -c -o $@ $<

tests: $(TESTS) ## build the unit tests

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(LIBOBJ)
	@mkdir -p $(@D)
	@echo "  LINK $@"
	$(Q)$(CXX) $(SANFLAG) -pthread -o $@ $^ $(LIBS) -lcmocka

clean: ## remove build/
	rm -rf build

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

-include $(OBJ:.o=.d) $(TESTS:=.d)
.PHONY: all tests clean help
.SECONDARY:
