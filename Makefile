# A thin front for CMake and its presets; `make help` lists what there is. It holds no knowledge of
# its own: flags stand in CMakeLists.txt, package names in scripts/setup.
.PHONY: help setup build run test asan tsan sim fuzz cover bench bench-broker kill9 e2e tidy fmt clean
.DEFAULT_GOAL := help

JOBS ?= $(shell nproc)
NAME ?=
SECONDS ?= 60
N ?= 500

configure = cmake --preset $(1) -S . > build/$(1).configure.log || { cat build/$(1).configure.log; exit 1; }
compile = mkdir -p build && { $(call configure,$(1)); } && cmake --build build/$(1) -j$(JOBS) $(2)

help: ## this list
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: ## install what building and running need (Debian 12); TEST=1: and what the tests need
	@scripts/setup $(if $(TEST),--test)

ready:
	@scripts/setup --check || scripts/setup

ready_test:
	@scripts/setup --test --check || scripts/setup --test

.PHONY: ready ready_test

build: ready ## build the program for use: build/tandem
	@$(call compile,release,--target tandem)

run: build ## build, then start the hub with its demo; Ctrl-C ends both
	@exec build/tandem serve --demo $(ARGS)

test: ready_test ## everything that must hold: unit, tidy, corpus replay, sim, end to end, sanitizers
	@$(call compile,dev)
	@$(call compile,asan)
	@printf 'subdirs(dev asan)\n' > build/CTestTestfile.cmake
	@ctest --test-dir build -j$(JOBS) --output-on-failure

asan: ready_test ## unit tests and corpus replay under ASan and UBSan
	@$(call compile,asan)
	@ctest --test-dir build/asan -j$(JOBS) --output-on-failure

tsan: ready_test ## the tests under ThreadSanitizer
	@$(call compile,tsan)
	@ctest --test-dir build/tsan -j$(JOBS) --output-on-failure

sim: ready_test ## simulated storms: SEED=n (else by the clock), COUNT=n, LOOPS=n, UNTIL=s, TRACE=1
	@$(call compile,dev,--target sim)
	@build/dev/sim $(foreach v,SEED COUNT LOOPS UNTIL TRACE TWICE HASH,$(if $($(v)),$(v)=$($(v))))

fuzz: ready_test ## libFuzzer: NAME=.. one harness (else all in turn), SECONDS=60 each
	@$(call compile,fuzz)
	@scripts/fuzz "$(NAME)" "$(SECONDS)"

cover: ready_test ## line coverage of the unit tests and the corpus
	@$(call compile,cover)
	@scripts/cover

bench: ready_test ## compare with mosquitto, aedes and a bare relay (about 5 minutes); writes docs/benchmarks.md
	@$(call compile,release)
	@bench/run --write docs/benchmarks.md
bench-broker: bench

kill9: ready_test build ## kill -9 under load N=500 times; nothing acknowledged may be missing
	@build/venv/bin/python tests/e2e/kill9.py --tandem build/tandem -n $(N) $(if $(SEED),--seed $(SEED))

e2e: ready_test ## real clients against the program
	@$(call compile,dev)
	@ctest --test-dir build/dev -R '^e2e' --output-on-failure

tidy: ready_test ## clang-tidy over the tree, and its longest functions
	@$(call compile,clang)
	@scripts/tidy

fmt: ready_test ## clang-format over the tree
	@scripts/format --write

clean: ## forget all builds
	@rm -rf build
