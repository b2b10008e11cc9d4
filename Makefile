# Fealty: `make help` lists what there is. One binary, build/fealty, from all .c files of the folders below.
#
# Variants (build/obj/VARIANT): release, asan (address + undefined), tsan (threads), fuzz (clang, coverage + address),
# mutants (safety rules can be taken away, see protocol/mutant.h: for the simulator's own test only).

ifeq ($(origin CC),default)
CC := gcc
endif
FUZZ_CC      ?= clang-14
CLANG_FORMAT ?= clang-format-14
CLANG_TIDY   ?= clang-tidy-14
PREFIX       ?= /usr/local
DESTDIR      ?=
JOBS         ?= $(shell nproc 2>/dev/null || echo 2)

FOLDERS  := protocol storage actors cluster http node
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Werror
# clang counts INVARIANT(!"sentence") among conversions.
ONLY_CLANG = $(if $(findstring clang,$(1)),-Wno-string-conversion)
CFLAGS   ?= -O2 -g
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARNINGS) -pthread -I. $(CPPFLAGS)
LIBS     := -lrdkafka -lrocksdb -lczmq -lzmq -lcivetweb -lsodium -lmsgpackc -lm -pthread

FLAGS_release = $(CFLAGS)
FLAGS_asan    = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FLAGS_tsan    = -O1 -g -fno-omit-frame-pointer -fsanitize=thread
FLAGS_fuzz    = -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FLAGS_mutants = $(CFLAGS) -DFEALTY_MUTANTS
CC_release    = $(CC)
CC_asan       = $(CC)
CC_tsan       = $(CC)
CC_fuzz       = $(FUZZ_CC)
CC_mutants    = $(CC)

SOURCES   := $(foreach folder,$(FOLDERS),$(sort $(wildcard $(folder)/*.c)))
MAIN      := node/main.c
UNITS     := $(sort $(wildcard tests/unit/*.c))
# Bodies that unit tests run too.
BODIES    := $(sort $(wildcard tests/threads/*_bodies.c))
THREADS   := $(basename $(notdir $(filter-out $(BODIES),$(sort $(wildcard tests/threads/*.c)))))
ASSUMED   := $(basename $(notdir $(sort $(wildcard tests/assume/*.c))))
FUZZERS   := $(basename $(notdir $(sort $(wildcard tests/fuzz/*.c))))
SIMULATED := $(sort $(wildcard tests/sim/*.c))
SIM_PARTS := $(filter-out tests/sim/main.c,$(SIMULATED))
BENCH     := $(filter-out bench/bare_civetweb.c bench/raw_rocksdb.c,$(sort $(wildcard bench/*.c)))
BENCH_PARTS := $(filter-out bench/main.c,$(BENCH))
FORMATTED := $(foreach folder,$(FOLDERS) bench tests/unit tests/threads tests/assume tests/fuzz tests/sim,\
               $(sort $(wildcard $(folder)/*.c) $(wildcard $(folder)/*.h)))

# The programs that `make test` needs; tests/run.py runs them.
TEST_PROGRAMS := build/fealty build/asan/fealty build/tsan/fealty \
                 $(if $(UNITS),build/unit build/asan/unit) \
                 $(addprefix build/assume/,$(ASSUMED)) \
                 $(addprefix build/tsan/threads/,$(THREADS)) \
                 $(addprefix build/fuzz/,$(FUZZERS)) \
                 build/shims/clock.so build/kafka/journal_probe \
                 $(if $(wildcard tests/sim/main.c),build/sim)

.PHONY: all run test bench cluster cluster-kafka chaos check sim prove deps install fuzz clean help format format-check tidy \
        sanitizers test-programs bench-programs docs deps-build deps-test deps-check deps-bench deps-kafka
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

all: deps-build ## build build/fealty
	@$(MAKE) --no-print-directory -j$(JOBS) build/fealty

run: all ## build, then start one node on 127.0.0.1:8080 with its data in ./data
	@exec build/fealty node --data data --listen 127.0.0.1:8080

cluster: all ## three nodes on loopback, with a how-to; Ctrl-C stops them
	@exec tools/cluster.sh

cluster-kafka: all deps-kafka ## three nodes on real Kafka on loopback, to watch a take-over; Ctrl-C stops them
	@exec tools/cluster_kafka.sh

# Kafka's own packages only where they must be: without them its tests are skipped by name.
test: $(if $(filter 1,$(REQUIRE_KAFKA)),deps-kafka,deps-test) ## everything that proves it; the last line sums all up
	@exec python3 tests/run.py

check: deps-check format-check tidy sanitizers ## format, clang-tidy, address + undefined and thread sanitizers

sim: deps-build ## whole clusters on a shared log, on one thread, from seeds: SEEDS=1000, or SEED=7 to see one
	@$(MAKE) --no-print-directory -j$(JOBS) build/sim
	@exec build/sim --shared $(if $(SEED),--seed $(SEED) -v,--seeds $(or $(SEEDS),1000) --jobs $(JOBS))

prove: deps-kafka ## the long hunt: 10,000 seeds, every mutant, 30 minutes of chaos
	@$(MAKE) --no-print-directory -j$(JOBS) build/sim build/mutants/sim build/fealty
	@build/sim --shared --seeds 10000 --jobs $(JOBS)
	@python3 tests/mutants.py
	@python3 tests/chaos/chaos.py 30

chaos: all deps-kafka ## nodes, brokers and network fail under load; a checker decides: MINUTES=5 SEED=1
	@exec python3 tests/chaos/chaos.py $(or $(MINUTES),5) $(if $(SEED),--seed $(SEED))

fuzz: deps-test ## each fuzz target for FUZZ_SECONDS (60)
	@$(MAKE) --no-print-directory -j$(JOBS) $(addprefix build/fuzz/,$(FUZZERS))
	@tools/fuzz.sh $${FUZZ_SECONDS:-60} $(FUZZERS)

bench: deps-bench ## how fast, against what people would use instead
	@$(MAKE) --no-print-directory -j$(JOBS) bench-programs
	@exec bench/run.sh

install: all ## to PREFIX (/usr/local), below DESTDIR
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/share/doc/fealty'
	install -m 755 build/fealty '$(DESTDIR)$(PREFIX)/bin/fealty'
	[ ! -x build/sim ] || install -m 755 build/sim '$(DESTDIR)$(PREFIX)/bin/fealty-sim'
	install -m 644 README.md CHANGELOG.md LICENSE $(filter-out docs/README.md,$(wildcard docs/*.md)) '$(DESTDIR)$(PREFIX)/share/doc/fealty/'

deps: ## install the Debian packages for everything, once
	@tools/deps.sh build test check bench kafka

docs: all ## write docs/configuration.md from the table in node/config.c
	build/fealty help --markdown > build/configuration.md
	mv build/configuration.md docs/configuration.md

clean: ## remove build/
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

deps-build:
	@tools/deps.sh build
deps-test:
	@tools/deps.sh build test
deps-check:
	@tools/deps.sh build test check
deps-bench:
	@tools/deps.sh build bench
deps-kafka:
	@tools/deps.sh build test kafka

test-programs: $(TEST_PROGRAMS)
bench-programs: build/fealty build/kafka/journal_probe build/fealty-bench build/fealty-bench-bare build/fealty-bench-rocksdb

format: deps-check ## lay out all sources
	@$(CLANG_FORMAT) -i $(FORMATTED)

format-check: deps-check
	@$(CLANG_FORMAT) --dry-run -Werror $(FORMATTED)

tidy: deps-check
	@printf '%s\n' $(SOURCES) | xargs -P $(JOBS) -n 4 sh -c \
	    '$(CLANG_TIDY) --quiet "$$@" -- -std=c11 -D_GNU_SOURCE -I. 2>build/tidy.$$$$ || { cat build/tidy.$$$$; exit 255; }' tidy

sanitizers: deps-test
	@$(MAKE) --no-print-directory -j$(JOBS) test-programs
	@python3 tests/run.py --no-build sanitizers

# V=1 shows whole commands.
ifeq ($(V),1)
Q :=
SAY =
else
Q := @
SAY = @printf '  %s %-7s %s\n' $(1) $(2) $(3)
endif

# --- rules, once per variant -------------------------------------------------------------------------

define VARIANT
build/obj/$(1)/%.o: %.c Makefile
	@mkdir -p $$(@D)
	$$(call SAY,CC,$(1),$$<)
	$$(Q)$$(CC_$(1)) $$(ALL_CFLAGS) $$(call ONLY_CLANG,$$(CC_$(1))) $$(FLAGS_$(1)) -MMD -MP -c -o $$@ $$<

# Everything but main(), so that tests link what they use. `q`: two folders may have a file of the same name.
build/obj/$(1)/fealty.a: $$(patsubst %.c,build/obj/$(1)/%.o,$$(filter-out $$(MAIN),$$(SOURCES)))
	@rm -f $$@
	$$(Q)ar qcs $$@ $$^

# Parts of the benchmark, the simulation and the threaded tests that several programs use.
build/obj/$(1)/parts.a: $$(patsubst %.c,build/obj/$(1)/%.o,$$(BENCH_PARTS) $$(SIM_PARTS) $$(BODIES))
	@rm -f $$@
	$$(Q)ar qcs $$@ $$^
endef
$(foreach variant,release asan tsan fuzz mutants,$(eval $(call VARIANT,$(variant))))

define PROGRAM # path, variant, object files and archives, further libraries
$(1): $(3) build/obj/$(2)/fealty.a
	@mkdir -p $$(@D)
	$$(call SAY,LD,$(2),$$@)
	$$(Q)$$(CC_$(2)) $$(FLAGS_$(2)) $$(LDFLAGS) -o $$@ $$^ $(4) $$(LIBS)
endef
objects = $(patsubst %.c,build/obj/$(1)/%.o,$(2))

$(eval $(call PROGRAM,build/fealty,release,build/obj/release/node/main.o,))
$(eval $(call PROGRAM,build/asan/fealty,asan,build/obj/asan/node/main.o,))
$(eval $(call PROGRAM,build/tsan/fealty,tsan,build/obj/tsan/node/main.o,))
$(eval $(call PROGRAM,build/unit,release,$(call objects,release,$(UNITS)) build/obj/release/parts.a,-lcriterion))
$(eval $(call PROGRAM,build/asan/unit,asan,$(call objects,asan,$(UNITS)) build/obj/asan/parts.a,-lcriterion))
$(eval $(call PROGRAM,build/sim,release,$(call objects,release,$(SIMULATED)),))
$(eval $(call PROGRAM,build/mutants/sim,mutants,$(call objects,mutants,$(SIMULATED)),))
$(eval $(call PROGRAM,build/kafka/journal_probe,release,build/obj/release/tests/kafka/journal_probe.o,))
$(eval $(call PROGRAM,build/fealty-bench,release,$(call objects,release,$(BENCH)),))
$(eval $(call PROGRAM,build/fealty-bench-bare,release,build/obj/release/bench/bare_civetweb.o,))
$(eval $(call PROGRAM,build/fealty-bench-rocksdb,release,build/obj/release/bench/raw_rocksdb.o,))
$(foreach name,$(THREADS),$(eval $(call PROGRAM,build/tsan/threads/$(name),tsan,build/obj/tsan/tests/threads/$(name).o build/obj/tsan/parts.a,)))
$(foreach name,$(ASSUMED),$(eval $(call PROGRAM,build/assume/$(name),release,build/obj/release/tests/assume/$(name).o,)))
$(foreach name,$(FUZZERS),$(eval $(call PROGRAM,build/fuzz/$(name),fuzz,build/obj/fuzz/tests/fuzz/$(name).o build/obj/fuzz/parts.a,-fsanitize=fuzzer)))

build/shims/%.so: tests/shims/%.c Makefile
	@mkdir -p $(@D)
	$(call SAY,LD,release,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -O2 -fPIC -shared -o $@ $<

-include $(shell find build/obj -name '*.d' 2>/dev/null)
