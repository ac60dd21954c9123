# A thin front for CMake; `make help` lists what there is.
.PHONY: help setup build test fmt

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: ## install what is missing (Debian packages)
	@scripts/setup

ready:
	@scripts/setup --check || scripts/setup

build: ready ## build everything with warnings as errors
	@cmake -S . -B build/dev -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo >/dev/null
	@cmake --build build/dev

test: build ## unit tests, plain and under ASan + UBSan
	@cmake -S . -B build/asan -G Ninja -DCMAKE_BUILD_TYPE=Debug -DTANDEM_SANITIZE=ON >/dev/null
	@cmake --build build/asan
	@ctest --test-dir build/asan --output-on-failure
	@ctest --test-dir build/dev --output-on-failure

fmt: ## clang-format over the tree
	@find src tests -name '*.[ch]' | xargs clang-format-14 -i
