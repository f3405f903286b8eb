# `make help` lists the targets. Each installs what it needs when that is missing; `check` changes no source.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:

ROOT := $(CURDIR)
export CARGO_TARGET_DIR ?= $(ROOT)/target
PYTHON ?= python3
VENV := $(ROOT)/.venv
VENV_READY := $(VENV)/.ready
NPM_READY := gastown-node/node_modules/.ready
STEP := tools/step
# maturin sets variables that make cargo build pyo3 anew: a target directory of its own keeps both warm.
PY_TARGET := $(CARGO_TARGET_DIR)/py
FEATURES := gastown-core/testkit,gastown-core/postgres
# Starts a private Postgres that the tests share, and ends it behind them.
WITH_POSTGRES := tools/test-postgres with
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)
EXAMPLES_RUST = $(filter-out lib,$(notdir $(basename $(wildcard examples/*.rs)))) $(patsubst examples/%/main.rs,%,$(wildcard examples/*/main.rs))
EXAMPLES_PYTHON = $(wildcard examples/*.py)
EXAMPLES_NODE = $(wildcard examples/*.mjs)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: demo
demo: tools-rust ## Run a small town: beads in, agents at work, commits on the target branch; ARGS="--tasks 50 …"
	@echo "building; minutes the first time"
	cargo run --quiet --locked -p gastown-examples --example town -- $(ARGS)

# ---- check -------------------------------------------------------------------------------------------------------

.PHONY: check
check: check-rust check-python check-node ## Check formatting, lints, types, docs, floors and licences

.PHONY: check-rust
check-rust: tools-rust
	@$(STEP) "rustfmt" cargo fmt --all --check
	@$(STEP) "clippy, default features" cargo clippy --quiet --locked --all-targets -- -D warnings
	@$(STEP) "clippy, all features, bindings" cargo clippy --quiet --locked --workspace --all-targets --all-features -- -D warnings
	@for features in "" sqlite postgres store-kit; do \
		$(STEP) "clippy, only [$$features]" cargo clippy --quiet --locked -p gastown-core --no-default-features --features "$$features" -- -D warnings || exit 1; done
	@RUSTDOCFLAGS="-D warnings" $(STEP) "rustdoc" cargo doc --quiet --locked --no-deps --all-features -p gastown-core
	@$(STEP) "floors" cargo test --quiet --locked -p gastown-tests --test it -- floors:: complete::
	@$(STEP) "licences, bans, sources" tools/deny

.PHONY: check-python
check-python: $(VENV_READY) build-python
	@cd gastown-py && $(ROOT)/$(STEP) "mypy" $(VENV)/bin/mypy
	@cd gastown-py && $(ROOT)/$(STEP) "stubtest" $(VENV)/bin/python -m mypy.stubtest gastown._gastown
ifneq ($(EXAMPLES_PYTHON),)
	@$(STEP) "mypy, examples" $(VENV)/bin/mypy --strict $(EXAMPLES_PYTHON)
endif

.PHONY: check-node
check-node: $(NPM_READY)
	@cd gastown-node && $(ROOT)/$(STEP) "tsc" npm run --silent check

# ---- test --------------------------------------------------------------------------------------------------------

.PHONY: test
test: test-rust test-python test-node test-examples ## Run every test, in Rust, Python and Node, and the examples

.PHONY: test-rust
test-rust: tools-rust tools-postgres
ifneq ($(NEXTEST),)
	@$(STEP) "rust tests" $(WITH_POSTGRES) cargo nextest run --locked --features $(FEATURES)
else
	@$(STEP) "rust tests" $(WITH_POSTGRES) cargo test --locked --features $(FEATURES) --lib --bins --tests --examples
endif
	@$(STEP) "rust doctests" cargo test --quiet --locked --doc -p gastown-core --features testkit

.PHONY: test-python
test-python: build-python tools-postgres
	@cd gastown-py && $(ROOT)/$(STEP) "pytest" $(VENV)/bin/pytest -q

.PHONY: test-node
test-node: build-node tools-postgres $(NPM_READY)
	@cd gastown-node && $(ROOT)/$(STEP) "node --test" node --test test/

.PHONY: test-examples
test-examples: build-python build-node
	@set -e; for name in $(EXAMPLES_RUST); do \
		$(STEP) "example $$name.rs" cargo run --quiet --locked -p gastown-examples --features $(FEATURES) --example $$name; done
	@set -e; for file in $(filter-out examples/town.py,$(EXAMPLES_PYTHON)); do \
		$(STEP) "example $$(basename $$file)" $(VENV)/bin/python $$file; done
	@set -e; for file in $(filter-out examples/town.mjs,$(EXAMPLES_NODE)); do \
		$(STEP) "example $$(basename $$file)" node $$file; done
	@$(STEP) "one table in three languages" tools/same-table \
		"$(CARGO_TARGET_DIR)/debug/examples/scenario" "$(VENV)/bin/python examples/town.py" "node examples/town.mjs"

# ---- build -------------------------------------------------------------------------------------------------------

# The program and the Node binding in one go, so that they share one build of the core.
PROGRAM := --package gastown-core --package gastown-node --features gastown-core/cli --lib --bin gastown

.PHONY: program
program: tools-rust
	@$(STEP) "build gastown" cargo build --quiet --locked $(PROGRAM)
	@install -D -m 755 $(CARGO_TARGET_DIR)/debug/gastown gastown-py/python/gastown/bin/gastown
	@install -D -m 755 $(CARGO_TARGET_DIR)/debug/gastown gastown-node/bin/gastown

.PHONY: build-python
build-python: $(VENV_READY) program
	@cd gastown-py && $(ROOT)/$(STEP) "maturin develop" $(VENV)/bin/maturin develop --quiet --locked --target-dir $(PY_TARGET)

.PHONY: build-node
build-node: tools-node program
	@cd gastown-node && $(ROOT)/$(STEP) "build for node" node build.js --quiet --locked $(PROGRAM)

# ---- the rest ----------------------------------------------------------------------------------------------------

.PHONY: fix
fix: tools-rust ## Rewrite: formatting, and the lints that can mend themselves
	cargo fmt --all
	cargo clippy --workspace --all-targets --all-features --fix --allow-dirty --allow-staged
	cargo fmt --all
	GASTOWN_FIX=1 cargo test --quiet --features $(FEATURES) -p gastown-tests --test it -- parity:: metrics::the_page

.PHONY: bench
bench: tools-rust bench-queues ## Run the benchmarks (minutes; release build)
	cargo bench -p gastown-benches

# The bindings in release mode; `make test` puts the quick builds back.
.PHONY: bench-queues
bench-queues: $(VENV_READY) tools-node $(NPM_READY) ## Compare with queues that people embed, from Python and Node
	@$(STEP) "build in release" cargo build --quiet --locked --release -p gastown-benches --bin bench-queue
	@$(VENV)/bin/pip install --quiet -r benches/queues/requirements.txt
	@cd gastown-py && $(ROOT)/$(STEP) "maturin develop, release" $(VENV)/bin/maturin develop --quiet --locked --release --target-dir $(PY_TARGET)
	cd $(CARGO_TARGET_DIR) && $(VENV)/bin/python $(ROOT)/benches/queues/queues.py $(CARGO_TARGET_DIR)/release/bench-queue $(ARGS)
	@cd benches/queues && $(ROOT)/$(STEP) "npm ci" npm ci --silent --no-audit --no-fund
	@cd gastown-node && $(ROOT)/$(STEP) "build for node, release" node build.js --quiet --locked --release
	cd $(CARGO_TARGET_DIR) && node $(ROOT)/benches/queues/queues.mjs $(CARGO_TARGET_DIR)/release/bench-queue $(ARGS)

.PHONY: soak
soak: tools-rust tools-postgres ## Run the long forms of the seeded tests (GASTOWN_SOAK=1; an hour and more)
	GASTOWN_SOAK=1 cargo test --release --features $(FEATURES) -- --include-ignored

.PHONY: clean
clean: ## Remove what was built and installed here
	rm -rf target .venv gastown-node/node_modules gastown-node/bin/gastown gastown-node/*.node \
		gastown-py/python/gastown/bin gastown-py/python/gastown/*.so

# ---- tools -------------------------------------------------------------------------------------------------------

.PHONY: tools-rust tools-python tools-node tools-postgres
tools-rust:
	@tools/need git:git gcc:gcc cargo:

# Debian keeps the server's programs off the PATH, and starts a server of its own that the tests do not use.
tools-postgres:
	@[[ -n "$${GASTOWN_TEST_PG:-}" ]] || tools/test-postgres find >/dev/null 2>&1 || tools/need initdb:postgresql
	@tools/need openssl:openssl

tools-python:
	@tools/need $(PYTHON):python3

tools-node:
	@tools/need node:nodejs npm:npm

$(VENV_READY): gastown-py/requirements-dev.txt | tools-python
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || tools/need ensurepip:python3-venv
	@$(STEP) "python tools" bash -c '$(PYTHON) -m venv $(VENV) && $(VENV)/bin/pip install --quiet -r gastown-py/requirements-dev.txt'
	@touch $@

$(NPM_READY): gastown-node/package-lock.json | tools-node
	@cd gastown-node && $(ROOT)/$(STEP) "npm ci" npm ci --silent --no-audit --no-fund
	@touch $@
