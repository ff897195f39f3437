# Holdfast is built by this one file; configure.ac finds compiler and libraries and writes config.mk.
#
# Sources are found by folder. Three builds are made from the same rules: build/ as shipped, build/asan/ with the
# address and undefined-behaviour sanitizers, for tests, build/fuzz/ with them and libFuzzer, by clang.

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif

# --- Debian packages: the libraries' names stand in configure.ac, at the end of each HF_LIBRARY line ---

LIBRARY_PACKAGES = $(shell sed -n 's/^HF_LIBRARY(.*\[\([^]]*\)\])$$/\1/p' configure.ac)
BUILD_PACKAGES = gcc libc6-dev make autoconf $(LIBRARY_PACKAGES)
TEST_PACKAGES = libcmocka-dev python3 python3-pytest python3-requests curl systemd valgrind \
	iproute2 iptables libfaketime libnetfilter-queue-dev util-linux
NSPAWN_PACKAGES = $(TEST_PACKAGES) binutils debootstrap python3-yaml systemd-container
TIDY_PACKAGES = python3 clang-format
BENCH_PACKAGES = python3 python3-pytest python3-requests wrk
DEMO_PACKAGES = python3 curl
FUZZ_PACKAGES = clang libclang-rt-14-dev python3

# --- configuration ---

NOT_BUILDING = help clean format uninstall
ifneq ($(filter-out $(NOT_BUILDING),$(or $(MAKECMDGOALS),all)),)
include config.mk
endif

config.mk: configure.ac
	@.ci/packages $(BUILD_PACKAGES)
	@mkdir -p build
	@echo "  configure"
	@autoheader -f 2>build/autoconf.log && autoconf -f 2>>build/autoconf.log || { cat build/autoconf.log; exit 1; }
	@./configure --quiet
	@rm -rf autom4te.cache; touch $@

# --- what is compiled from what ---

SOURCES_common := $(wildcard common/*.c)
SOURCES_tests := $(wildcard tests/common/*.c)
SOURCES_daemon := $(wildcard daemon/*.c)
SOURCES_worker := $(wildcard worker/*.c worker/*/*.c)
SOURCES_sim := $(wildcard tests/sim/*.c)
SOURCES_raft := $(wildcard tests/raft/*.c)
SOURCES_load := $(wildcard tests/load/*.c)
SOURCES_linear := $(wildcard tests/linear/*.c)
FUZZ := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))
TEST_SOURCES := $(wildcard tests/*/*.c)
export T
UNIT_TESTS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/$(or $(T),*)_test.c))

STRICT = -std=gnu11 -Wall -Wextra -Wshadow -Werror -pthread -I.
# -Wconversion in one build only: the sanitizers hide from gcc which values an expression can take.
FLAGS_build = -O2 -Wconversion
FLAGS_build/asan = -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
# clang takes NULL + 0 for an overflow; C2y allows it, and so do all compilers.
FLAGS_build/fuzz = -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
	-fno-sanitize=pointer-overflow
build/fuzz/%: CC = clang
FLAGS_build/cover = -O0 --coverage -fprofile-update=atomic

# $(call objects,directory of the build,sources)
objects = $(patsubst %.c,$(1)/obj/%.o,$(2))
link = @echo "  LD   $@"; mkdir -p $(@D); $(CC) -pthread $(LDFLAGS) -Wl,--as-needed -o $@

# $(call library,build,name,sources): of an archive a program gets what it refers to.
define library
$(1)/$(2): $(call objects,$(1),$(3))
	@echo "  AR   $$@"; rm -f $$@; $$(AR) rcs $$@ $$^
DEPENDENCIES += $(patsubst %.o,%.d,$(call objects,$(1),$(3)))
endef

# $(call program,build,program,sources,libraries): the rule of one program. It is not given
# what it must not refer to: holdfastd no NNG, the simulator no event loop and no database.
define program
$(1)/$(2): $(call objects,$(1),$(3)) $(if $(filter tests/%,$(3)),$(1)/libtests.a) $(1)/libcommon.a
	$$(link) $$(FLAGS_$(1)) $$^ $(4)
PROGRAMS_$(1) += $(1)/$(2)
DEPENDENCIES += $(patsubst %.o,%.d,$(call objects,$(1),$(3)))
endef

# $(call fuzz,build,name,what drives it): the rule of one fuzz target.
define fuzz
$(1)/tests/fuzz/$(2): $(call objects,$(1),tests/fuzz/$(2).c $(filter %.c,$(3))) $(1)/libtests.a $(1)/libworker.a $(1)/libcommon.a
	$$(link) $$(FLAGS_$(1)) $(filter -%,$(3)) $$^ \
		$$(EVENT_LIBS) $$(HTTP_PARSER_LIBS) $$(JANSSON_LIBS) $$(XXHASH_LIBS) $$(INIH_LIBS)
FUZZ_$(1) += $(1)/tests/fuzz/$(2)
DEPENDENCIES += $(patsubst %.o,%.d,$(call objects,$(1),tests/fuzz/$(2).c $(filter %.c,$(3))))
endef

# The checker of histories, without the program.
JUDGE := $(patsubst %,tests/linear/%.c,linear search memo explain)

# What the simulator shares with the worker.
HEART := $(wildcard worker/raft/*.c worker/kv/*.c worker/log/*.c worker/replica/*.c) worker/peer/hello.c

define build
$(1)/obj/%.o: %.c config.mk
	@echo "  CC   $$@"; mkdir -p $$(@D)
	@$$(CC) $$(STRICT) $$(FLAGS_$(1)) $$(CPPFLAGS) $$(CFLAGS) -MMD -MP -c -o $$@ $$<

$(call library,$(1),libcommon.a,$(SOURCES_common))
$(call library,$(1),libtests.a,$(SOURCES_tests))
$(call library,$(1),libworker.a,$(filter-out worker/main.c,$(SOURCES_worker)))
$(call program,$(1),holdfastd,$(SOURCES_daemon),$$(EVENT_LIBS) $$(INIH_LIBS) $$(SYSTEMD_LIBS))
$(call program,$(1),holdfast-worker,$(SOURCES_worker),$$(EVENT_LIBS) $$(HTTP_PARSER_LIBS) $$(NNG_LIBS) $$(DB_LIBS) $$(JANSSON_LIBS) $$(CURL_LIBS) $$(XXHASH_LIBS))
$(call program,$(1),tests/sim,$(SOURCES_sim) $(JUDGE) $(HEART),$$(XXHASH_LIBS) -lm)
$(call program,$(1),tests/raft-script,$(SOURCES_raft) $(filter worker/raft/%,$(HEART)),)
$(call program,$(1),holdfast-load,$(SOURCES_load),$$(EVENT_LIBS) $$(HTTP_PARSER_LIBS) $$(JANSSON_LIBS) -lm)
$(call program,$(1),linear,$(SOURCES_linear),)
$(call program,$(1),etc/print_conf,etc/print_conf.c,$$(INIH_LIBS))
$(call program,$(1),etc/print_man,etc/print_man.c,$$(INIH_LIBS))
$(call program,$(1),tests/bench/ipc,tests/bench/ipc.c,$$(EVENT_LIBS) $$(NNG_LIBS))
$(call program,$(1),tests/nemesis/delay,tests/nemesis/delay.c,-lnetfilter_queue)
$(call program,$(1),tests/system/tool/rot,tests/system/tool/rot.c $(filter worker/kv/%,$(HEART)) $(wildcard worker/store/*.c),$$(DB_LIBS) $$(XXHASH_LIBS))
# What stands in for a worker in the tests of the supervisor.
$(foreach c,$(wildcard tests/system/*.c),
$(call program,$(1),$(c:%.c=%),$(c) worker/worker.c,$$(EVENT_LIBS) $$(NNG_LIBS)))
endef
$(foreach b,build build/asan build/fuzz build/cover,$(eval $(call build,$(b))))

FUZZ_COMMON = tests/fuzz/common/fuzz.c tests/fuzz/common/quiet_log.c
$(foreach t,$(FUZZ),$(eval $(call fuzz,build/asan,$(t),$(FUZZ_COMMON) tests/fuzz/common/driver.c)))
$(foreach t,$(FUZZ),$(eval $(call fuzz,build/fuzz,$(t),$(FUZZ_COMMON) -fsanitize=fuzzer)))

# What a test preloads into a node's processes.
PRELOADS := $(patsubst %.c,build/%.so,$(wildcard tests/*/preload/*.c))
build/%.so: %.c config.mk
	@echo "  LD   $@"; mkdir -p $(@D)
	@$(CC) $(STRICT) -O2 -fPIC -shared -o $@ $< -ldl

# A unit test links what its comment "links:" names and nothing else, a folder/ standing for all that it has: one word for
# each test, its parts joined by |.
UNIT_LINKS := $(shell awk ' \
	FNR == 1 { on = 0; n = FILENAME; gsub(/.*\/|\.c$$/, "", n); printf "%s%s", NR == 1 ? "" : "\n", n } \
	/links:/ { on = 1; sub(/.*links:/, "") } \
	on { for (i = 1; i <= NF; i++) if ($$i ~ /^[a-z].*(\.c|\/)$$|^-/) printf "|%s", $$i } \
	/\*\// { on = 0 }' $(UNIT_TESTS:%=tests/unit/%.c) /dev/null)
linked = $(filter %.c,$(1)) $(wildcard $(addsuffix *.c,$(filter %/,$(1))))
# $(call unit,build,name,sources,flags)
define unit
$(1)/tests/unit/$(2): $(call objects,$(1),tests/unit/$(2).c $(3))
	$$(link) $$(FLAGS_$(1)) $$^ $(4) -lcmocka
UNIT_$(1) += $(1)/tests/unit/$(2)
DEPENDENCIES += $(patsubst %.o,%.d,$(call objects,$(1),tests/unit/$(2).c $(3)))
endef
$(foreach b,build build/asan build/cover,$(foreach t,$(UNIT_LINKS),$(eval \
	$(call unit,$(b),$(firstword $(subst |, ,$(t))),$(call linked,$(subst |, ,$(t))),$(filter -%,$(subst |, ,$(t)))))))

-include $(sort $(DEPENDENCIES))

# --- targets ---

.PHONY: all
all: $(filter build/holdfastd build/holdfast-worker,$(PROGRAMS_build)) ## build/holdfastd and build/holdfast-worker

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: packages-test packages-nspawn packages-tidy packages-bench packages-demo packages-fuzz
packages-test: ; @.ci/packages $(TEST_PACKAGES)
packages-nspawn: ; @.ci/packages $(NSPAWN_PACKAGES)
packages-tidy: ; @.ci/packages $(TIDY_PACKAGES)
packages-bench: ; @.ci/packages $(BENCH_PACKAGES)
packages-demo: ; @.ci/packages $(DEMO_PACKAGES)
# Without them it goes on with what there is.
packages-fuzz: ; @.ci/packages $(FUZZ_PACKAGES) || :

$(foreach b,build build/asan build/cover,$(call objects,$(b),$(TEST_SOURCES))): | packages-test

UNIT := $(UNIT_build) $(UNIT_build/asan)

.PHONY: check
check: $(PROGRAMS_build) $(PROGRAMS_build/asan) $(PRELOADS) $(UNIT) $(FUZZ_build/asan) | packages-nspawn packages-tidy ## every test of every kind, with one summary
	@tests/run

.PHONY: unit
unit: $(UNIT) | packages-test ## the unit tests, in both builds; T=name for those of one module
	@tests/run unit

.PHONY: raft-scripts
raft-scripts: $(filter %/raft-script,$(PROGRAMS_build) $(PROGRAMS_build/asan)) | packages-test ## the scripts of the Raft core, tests/raft/*.txt
	@tests/run raft

.PHONY: raft-update
raft-update: $(filter %/raft-script,$(PROGRAMS_build)) ## writes their transcripts anew, to be reviewed like code
	@build/tests/raft-script --update $(sort $(wildcard tests/raft/*.txt))

.PHONY: fuzz
fuzz: packages-fuzz $(FUZZ_build/asan) ## explores with every decoder that sees bytes from outside; MINUTES=n (10)
	@set -e; build=build/asan; \
	if echo 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' | \
		clang -fsanitize=fuzzer -x c -o build/has_libfuzzer - 2>/dev/null; then build=build/fuzz; \
	else echo "no clang with libFuzzer: mutations are blind"; fi; \
	$(MAKE) -s --no-print-directory $(FUZZ:%=$$build/tests/fuzz/%); \
	tests/fuzz/run $$build/tests/fuzz $(or $(MINUTES),10)

.PHONY: fuzz-corpus
fuzz-corpus: $(FUZZ_build/asan) ## the inputs that are kept, tests/fuzz/corpus, and mutations of them
	@tests/run fuzz

.PHONY: sim
sim: $(filter %/sim,$(PROGRAMS_build) $(PROGRAMS_build/asan)) | packages-test ## the simulation; SEED=n tells the story of one universe
	@$(if $(SEED),build/tests/sim --seed $(SEED) --verbose,tests/run sim)

.PHONY: cover
cover: $(UNIT_build/cover) $(filter %/raft-script %/sim,$(PROGRAMS_build/cover)) | packages-test ## which lines of the worker's heart unit tests, scripts and simulation reach
	@tests/cover

.PHONY: mutants
mutants: | packages-test ## deliberate bugs, each of which the tests must find; M=name for one, SEEDS=n of the simulation
	@tests/mutants/run $(if $(SEEDS),--seeds $(SEEDS)) $(M)

.PHONY: soak
soak: $(filter build/tests/sim,$(PROGRAMS_build)) | packages-test ## the simulation with fresh seeds on all cores, for MINUTES=n (30); SEED=n for the first
	@tests/soak $(or $(MINUTES),30) $(SEED)

.PHONY: system
system: $(filter build/holdfast% build/linear build/tests/system/%,$(PROGRAMS_build)) $(PRELOADS) | packages-test ## the tests with real processes
	@tests/run system

.PHONY: nemesis
nemesis: $(filter build/holdfast% build/linear build/tests/nemesis/%,$(PROGRAMS_build)) $(PRELOADS) | packages-test ## what is done to nodes while clients record histories, for MINUTES=n (20); SEED=n repeats what was drawn; takes root
	@tests/nemesis/run $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

.PHONY: power
power: $(filter build/holdfast%,$(PROGRAMS_build)) $(PRELOADS) | packages-test ## real nodes under simulated power loss, CUTS=n (200), and killed in KILLS=n calls (60); SEED=n draws the same
	@tests/power/run --cuts $(or $(CUTS),200) --kills $(or $(KILLS),60) $(if $(SEED),--seed $(SEED))

.PHONY: sanitized
sanitized: $(PROGRAMS_build/asan) | packages-test ## some of them with the sanitizers' build, whose leak checker is asked too
	@tests/run sanitized

.PHONY: valgrind
valgrind: $(filter build/holdfast% build/tests/system/%,$(PROGRAMS_build)) | packages-test ## a whole node under valgrind, 10,000 requests, a stop: what was lost (one of the system tests)
	@/usr/bin/python3 -m pytest -q -s -p no:cacheprovider tests/system/valgrind_test.py

.PHONY: nspawn
nspawn: all | packages-nspawn ## the service under a real systemd, in a container, and the nodes of docker/; takes root, and the network once
	@tests/run nspawn

etc/holdfast.conf: build/etc/print_conf
	@build/etc/print_conf >$@

docs/holdfast.conf.5 docs/holdfastd.8: build/etc/print_man
	@build/etc/print_man $(subst .,,$(suffix $@)) >$@

.PHONY: generate
generate: etc/holdfast.conf docs/holdfast.conf.5 docs/holdfastd.8 ## what is kept in the tree and made from tables: etc/holdfast.conf, the manual

.PHONY: tidy
tidy: build/etc/print_conf build/etc/print_man | packages-tidy ## layering, dead prototypes, generated files, formatting
	@tests/run tidy

.PHONY: format
format: packages-tidy ## formats the C sources in place
	@clang-format -i $(wildcard */*.[ch] */*/*.[ch])

.PHONY: bench
bench: all $(filter build/holdfast-load build/tests/bench/%,$(PROGRAMS_build)) | packages-bench ## figures: latency, throughput, time without a leader, idle
	@tests/bench/run

.PHONY: demo
demo: all packages-demo ## three nodes on this machine, to try with curl; Ctrl-C ends them
	@tests/demo

# What is installed, as FROM:TO:MODE. holdfastd looks for its worker beside itself and in /usr/libexec/holdfast.
INSTALLED = build/holdfastd:/usr/sbin/holdfastd:755 \
	build/holdfast-worker:/usr/libexec/holdfast/holdfast-worker:755 \
	docs/holdfast.conf.5:/usr/share/man/man5/holdfast.conf.5:644 \
	docs/holdfastd.8:/usr/share/man/man8/holdfastd.8:644 \
	systemd/holdfast.service:/usr/lib/systemd/system/holdfast.service:644 \
	systemd/holdfast@.service:/usr/lib/systemd/system/holdfast@.service:644 \
	systemd/sysusers.conf:/usr/lib/sysusers.d/holdfast.conf:644 \
	systemd/tmpfiles.conf:/usr/lib/tmpfiles.d/holdfast.conf:644 \
	$(foreach f,$(wildcard etc/examples/*/*.conf),$(f):$(f:etc/%=/usr/share/doc/holdfast/%):644)
CONF = $(DESTDIR)/etc/holdfast/holdfast.conf

.PHONY: install
install: all ## into DESTDIR: programs, units, manual, examples; a configuration that is there is left as it is
	@set -e; for f in $(INSTALLED); do \
		set -- $$(echo "$$f" | tr : ' '); install -D -m "$$3" "$$1" "$(DESTDIR)$$2"; done
	@install -d "$(DESTDIR)/etc/holdfast/conf.d"
	@test -e "$(CONF)" || install -m 644 etc/holdfast.conf "$(CONF)"

.PHONY: uninstall
uninstall: ## out of DESTDIR; configuration and data stay
	@for f in $(INSTALLED); do set -- $$(echo "$$f" | tr : ' '); rm -f "$(DESTDIR)$$2"; done
	@rmdir "$(DESTDIR)/usr/libexec/holdfast" 2>/dev/null || :
	@find "$(DESTDIR)/usr/share/doc/holdfast" -depth -type d -empty -delete 2>/dev/null || :

.PHONY: clean
clean: ## removes what make made
	rm -rf build config.mk config.h config.log config.status configure configure~ autom4te.cache
