# Kedge. `make demo` shows the main job; `make test` runs every test; both install what they need and say so.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
DEMO_FLAGS ?=
FUZZ_SECONDS ?= 60
PROGRAMS := --bin authority-bridge --bin kedge --bin kedge-agent --bin kms-node --bin soft-td --bin tdxctl
# cargo-nextest when it is there: faster, and one process a test. Plain `cargo test` runs the same tests.
NEXTEST := $(shell command -v cargo-nextest >/dev/null 2>&1 && echo yes)

.PHONY: help demo bench-boot bench-runtimes image image-production check-production reproducible test test-rust test-contracts test-vectors check production fmt clippy architecture deny advisories docs contracts contracts-check bench bench-scale mutants fuzz clean install-demo install-test

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: install-demo ## The main job on this machine: keys released to a registered app, refused after revocation
	@echo ">> building kedge, kms-node, soft-td, tdxctl (the first build takes some minutes)"
	cargo build --workspace $(PROGRAMS)
	"$(TARGET)/debug/kedge" demo $(DEMO_FLAGS)

test: install-test test-contracts test-vectors test-rust ## Every test: Solidity, key vectors, Rust on real Anvil and PostgreSQL

test-contracts: install-test
	cd contracts && npm test

test-vectors: install-test
	"$(TARGET)/python/bin/python" kms-node/keys/vectors/check.py
	"$(TARGET)/python/bin/python" agent/manifest/vectors/check.py

image: install-test ## Builds the development image of the guest OS into target/image/development
	os/build development "$(TARGET)/image/development"

image-production: install-test ## Builds the production image into target/image/production
	os/build production "$(TARGET)/image/production"

check-production: image-production ## Looks into the production image: no way in, no client of a software TD (the build takes a quarter of an hour)
	KEDGE_PRODUCTION_IMAGE="$(TARGET)/image/production" cargo test --quiet --package os-image --test it -- --ignored production

reproducible: image ## Builds the image again elsewhere and compares every byte
	os/reproducible

test-rust: install-test
	# The scenarios start the real programs.
	cargo build --workspace $(PROGRAMS)
	# The VM tests boot it.
	os/build development "$(TARGET)/image/development" >/dev/null
	if [ "$(NEXTEST)" = yes ]; then cargo nextest run --workspace; else cargo test --workspace; fi

check: install-test fmt clippy docs architecture production reproducible deny contracts-check ## Formatting, lints, documentation, architecture, licences, committed contract artifacts

# A production image has no way to a software TD: this build of the client is tested on its own.
production:
	cargo test --quiet --package td-quote --no-default-features --lib

fmt:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

architecture:
	cargo test --quiet --workspace --test it -- architecture:: security_list::

deny:
	@if ! command -v cargo-deny >/dev/null 2>&1; then echo ">> installing cargo-deny (licences and sources of dependencies)"; cargo install --quiet --locked cargo-deny --version 0.20.2 --no-default-features; fi
	cargo deny --all-features check licenses bans sources

advisories: ## Known vulnerabilities of dependencies (fetches the RustSec database)
	cargo deny check advisories

contracts: install-demo ## Compiles the contracts and writes contracts/artifacts
	cargo run --release --manifest-path contracts/compile/Cargo.toml

contracts-check: install-test
	contracts/tools/check-artifacts

bench: install-demo ## Figures of docs/benchmarks.md, written to target/bench.json
	cargo build --release --workspace --bin kms-node --bin kedge-bench
	"$(TARGET)/release/kedge-bench"

bench-scale: install-test ## A bridge beside 1,000, 10,000 and 100,000 registered apps
	cargo bench -p authority-bridge --bench scale

bench-boot: image ## Boots the development image three times on a new and on a used disk: keys, app, memory before the app
	cargo build --workspace $(PROGRAMS)
	cargo test --package vm-runner --test it -- --ignored --nocapture measured::figures_of_a_boot

bench-runtimes: install-test ## runc and crun side by side under containerd: time of a start, memory, size in the root
	cargo build --workspace --bin os-image
	os/runtimes

mutants: install-test ## Breaks rules of the bridge one at a time; a test must notice each (a quarter of an hour)
	authority-bridge/tools/mutants

fuzz: ## Every fuzz target for FUZZ_SECONDS each
	.ci/fuzz $(FUZZ_SECONDS)

clean:
	cargo clean
	rm -rf contracts/node_modules contracts/out contracts/cache

install-demo:
	@.ci/install demo

install-test:
	@.ci/install test
