# The index of commands: `make` alone lists them.

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help run build test simulate exhaust faults alerts verify-deploy release sustain verify-upgrade import bench bench-growth instructions fmt lint deny sbom docs prepare up down

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Start Kith on this machine: both services in one process, no other server needed
	cargo run --release

build: ## Build every service, optimised
	cargo build --workspace --bins --release

test: ## Every test, from nothing: packages, build, real servers of its own, tests (ARGS="..." goes to cargo test)
	deploy/local/test $(ARGS)

simulate: ## A million simulated schedules instead of 23,900 (FACTOR=45)
	KITH_SIMULATE_FACTOR=$(or $(FACTOR),45) cargo test --release -p kith-simulation --test schedules -- --nocapture

exhaust: ## Search small cases to their end, each up to 40 million states (STATES=40000000)
	KITH_EXHAUST_STATES=$(or $(STATES),40000000) cargo test --release -p kith-simulation --test exhaustive -- --ignored --nocapture --test-threads 1

faults: ## The fault suite in full, release build: every row of docs/reliability.md, ten minutes of faults on three nodes; servers of its own
	deploy/local/test --faults $(ARGS)

alerts: ## Fire every alert by its real fault, on a real Prometheus and servers of its own
	deploy/local/test --alerts $(ARGS)

verify-deploy: ## Ask a real Kubernetes API server about every overlay, and look for a request in a real Collector and Prometheus
	deploy/local/test --deploy $(ARGS)

sustain: ## An hour of workers that come and go, a million records of backlog, poison, kills and backups (KITH_SUSTAINED_SECONDS, _RECORDS)
	deploy/local/prepare servers
	deploy/local/fetch
	cargo build --release --workspace --bins --test sustained
	KITH_SUSTAINED=full cargo test --release --workspace --test sustained -- --nocapture

verify-upgrade: ## This build beside the release before (the commit that CHANGELOG.md names), on one database and one topic (PREVIOUS=COMMIT)
	PREVIOUS=$(PREVIOUS) deploy/local/verify-upgrade $(ARGS)

import: ## Import 100,000 rows by the command line, release build; prints rows a second and memory (ROWS=1000000)
	cargo build --release -p kith
	KITH_TEST_BIN_DIR=$(CURDIR)/target/release KITH_IMPORT_ROWS=$(or $(ROWS),100000) \
		cargo test -p kith-tests --test cli -- --ignored --nocapture a_large_file

bench: ## The benchmark, in a release build: writes docs/benchmarks (ARGS="--cases standalone-bulk", ARGS=--help)
	deploy/local/bench $(ARGS)

bench-growth: ## What a request costs with 10^4 to 10^7 profiles (10^6 on Cassandra), 1 to 1,000 merges, 1 to 95 traits (ARGS="--growth-profiles 1000000")
	deploy/local/bench --cases standalone-requests,cql-requests $(ARGS)

instructions: ## Count the instructions of the domain's part of a create (valgrind), say what changed, and keep tests/load/instructions.json
	deploy/local/prepare instructions
	cargo build --release --workspace --bin kith-hot-path
	target/release/kith-hot-path count

fmt: ## Format the code
	cargo fmt --all

lint: ## Clippy, warnings are errors
	cargo clippy --workspace --all-targets -- -D warnings

deny: ## Licences, banned crates and sources of all dependencies (needs cargo-deny)
	cargo deny check bans licenses sources

sbom: ## Write a CycloneDX bill of materials of each binary, with licences, to target/sbom (installs cargo-cyclonedx)
	deploy/local/sbom

release: ## Binaries for any Linux of this architecture, with checksums and bills of materials, in target/dist (musl-tools, rustup)
	deploy/local/release

docs: ## The crates' documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

prepare: ## Install what is missing for the tests, and fetch the servers' jars
	deploy/local/prepare
	deploy/local/fetch

up: ## Start a real Kafka and a real Cassandra on loopback, and print the settings for them (NODES=3 for three nodes)
	@deploy/local/up

down: ## Stop them (ARGS=--delete also removes their data)
	@deploy/local/down $(ARGS)
