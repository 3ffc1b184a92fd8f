# SPDX-License-Identifier: Apache-2.0
#
# Short names for what a newcomer does. Behind them is an ordinary CMake project; see docs/install.md.

JOBS       ?= $(shell n=$$(nproc 2>/dev/null || echo 1); [ $$n -gt 2 ] && n=2; echo $$n)
CMAKE_ARGS ?=
BUILD      := build/release
PYTHON     := build/python/bin/python
# What tests and benchmarks compare with. Without them tests run from the references in the repository and say so.
PYTHON_PEERS := torch numpy safetensors scikit-learn torchmetrics tensorboard pycocotools sacrebleu rouge-score seqeval
SOURCES     = $(shell git ls-files --cached --others --exclude-standard '*.cpp' '*.hpp')

.DEFAULT_GOAL := help
.PHONY: help run test torture fuzz bench bench-peers lint format mutants

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

run: ## Train a network on Fashion-MNIST, from nothing
	@scripts/bootstrap.sh build test data
	@cmake --preset release $(CMAKE_ARGS)
	@cmake --build $(BUILD) -j $(JOBS) --target fashion_mnist
	@$(BUILD)/examples/fashion_mnist

test: ## Build and run every test
	@scripts/bootstrap.sh build test data fuzz web
	@scripts/bootstrap.sh python $(PYTHON_PEERS) || echo "Not all of Python is there: the rest is tested from recorded references."
	@cmake --preset release $(CMAKE_ARGS)
	@cmake --build $(BUILD) -j $(JOBS) --target tests examples
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

torture: ## Kill training runs 300 times and see that nothing is lost (a quarter of an hour)
	@scripts/bootstrap.sh build test
	@cmake --preset release $(CMAKE_ARGS)
	@cmake --build $(BUILD) -j $(JOBS) --target torture_run
	@python3 tests/torture/kill.py $(BUILD)/tests/torture_run --kills 300 --jobs $(JOBS)

bench: ## Measure against hand-written loops; writes build/bench.json
	@scripts/bootstrap.sh build test data
	@scripts/bootstrap.sh python $(PYTHON_PEERS)
	@cmake --preset release $(CMAKE_ARGS)
	@cmake --build $(BUILD) -j $(JOBS) --target benchmarks tests
	@$(PYTHON) benchmarks/run.py --build-dir $(BUILD)

bench-peers: ## Measure whole programs against the Python trainers
	@scripts/bootstrap.sh build test data
	@scripts/bootstrap.sh python numpy
	@cmake --preset release $(CMAKE_ARGS)
	@cmake --build $(BUILD) -j $(JOBS) --target benchmarks
	@$(PYTHON) benchmarks/peers/run.py --build-dir $(BUILD)

FUZZ       ?= --seconds 3600

fuzz: ## Run every fuzzer for ten million runs or an hour (FUZZ="--only pickle --seconds 60")
	@scripts/bootstrap.sh build test data fuzz
	@cmake --preset release $(CMAKE_ARGS)
	@cmake --build $(BUILD) -j $(JOBS) --target fuzzers
	@python3 fuzzers/run.py --programs $(BUILD)/fuzzers --jobs $(JOBS) $(FUZZ)

lint: ## Check formatting, source rules and clang-tidy
	@scripts/bootstrap.sh build test lint
	@cmake --preset release -B build/lint -DATHANOR_UNITY=OFF $(CMAKE_ARGS) >/dev/null
	@python3 scripts/check_rooms.py
	@clang-format --dry-run --Werror $(SOURCES)
	@python3 scripts/tidy.py --build-dir build/lint --jobs $(JOBS)

format: ## Format every source in place
	@scripts/bootstrap.sh lint
	@clang-format -i $(SOURCES)

mutants: ## Break the library in many places and see that a test fails each time (half an hour)
	@scripts/bootstrap.sh build test data
	@scripts/bootstrap.sh python $(PYTHON_PEERS)
	@cmake --preset release $(CMAKE_ARGS)
	@cmake --build $(BUILD) -j $(JOBS) --target tests
	@python3 scripts/mutants.py
