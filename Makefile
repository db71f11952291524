# moraine's two commands, `make run` and `make test`, and the ones behind them.
# This file only names the steps: what is installed is in scripts/setup, how the program is built in
# CMakeLists.txt and CMakePresets.json, what the tests are in scripts/run_tests.py. `make help` explains.

PORT  ?= 8081
MODEL ?= models/smollm2-135m-instruct-q4_1.gguf
# A compiler process takes up to 1.5 GB on the heaviest files: no more of them than memory holds.
JOBS  ?= $(shell awk -v n="$$(nproc)" '/MemTotal/ {m = int($$2 / 1.5e6); print m < 1 ? 1 : m < n ? m : n}' /proc/meminfo)

PROGRAM := build/moraine
PYTHON  := .venv/bin/python
# Where scripts/setup puts the Rust of its choice if the system has several.
export PATH := $(CURDIR)/.cache/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help run test test-all test-asan test-tsan fuzz build build-all setup setup-dev model model-gemma package \
        bench format lint clean

help:
	@echo "moraine: a local engine and OpenAI-compatible server for coding agents"
	@echo
	@echo "  make run          install what is missing, build, fetch a small model, serve it on"
	@echo "                    127.0.0.1:$(PORT), ask it a first question; Ctrl-C stops it"
	@echo "                    (PORT=9000 another port, MODEL=FILE.gguf another model)"
	@echo "  make test         build and run the tests (some minutes)"
	@echo "  make test-all     the slow tests too, then all again under the sanitizers"
	@echo
	@echo "  make build        the program alone: $(PROGRAM), then $(PROGRAM) --help"
	@echo "  make model        fetch the default model into models/ (98 MB)"
	@echo "  make model-gemma  fetch a second model, for tests (253 MB; Gemma's terms apply)"
	@echo "  make package      a tarball, a .deb and a PKGBUILD, in dist/"
	@echo "  make bench        speed on this machine, beside llama.cpp and ik_llama.cpp"
	@echo "  make format       lay out the C++ code with clang-format"
	@echo "  make lint         look for mistakes with clang-tidy in what you changed (ALL=1: everywhere)"
	@echo "  make fuzz         feed every fuzzer for a minute (SECONDS=60 each)"
	@echo "  make setup        only install what is missing (scripts/setup --dry-run only lists it)"
	@echo "  make clean        remove the build folders; models and .venv stay"
	@echo
	@echo "Working on the code: CONTRIBUTING.md. How it is made: ARCHITECTURE.md."

run: build model
	@$(PYTHON) scripts/first_run.py --port $(PORT) --model $(MODEL)

test: build-all model model-gemma
	@$(PYTHON) scripts/run_tests.py

test-all: build-all model model-gemma
	@$(PYTHON) scripts/run_tests.py --slow
	@$(MAKE) --no-print-directory test-asan test-tsan

test-asan test-tsan: test-%: setup model model-gemma
	@scripts/build $* $(JOBS)
	@$(PYTHON) scripts/run_tests.py --preset $* --no-pytest

# The program alone; the tests are built only when they are to run.
build: setup
	@scripts/build release $(JOBS) moraine

build-all: setup
	@scripts/build release $(JOBS)

setup:
	@scripts/setup

setup-dev:
	@scripts/setup dev

model: setup
	@[ "$(MODEL)" != models/smollm2-135m-instruct-q4_1.gguf ] || $(PYTHON) scripts/fetch_model smollm2

model-gemma: setup
	@$(PYTHON) scripts/fetch_model gemma3-270m

bench: build model model-gemma
	@$(PYTHON) bench/peers.py

package: setup
	@scripts/package $(JOBS)

format: setup-dev
	@scripts/format

lint: setup-dev
	@scripts/lint $(if $(ALL),--all)

fuzz: setup-dev
	@scripts/build fuzz $(JOBS)
	@scripts/fuzz $(or $(SECONDS),60)

clean:
	rm -rf build build-dev build-package dist build-asan build-tsan build-fuzz
