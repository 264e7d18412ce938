# Each target works on every module of go.work; .ci/ holds the steps.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test setup lint fmt fuzz bench budgets dashboards vuln tidy ci

# Duration (or a number of runs, 1000x) of each fuzz target.
FUZZTIME ?= 10s
# Runs of each benchmark, and which benchmarks.
COUNT ?= 1
BENCH ?= .
# Arguments of the budgets command, e.g. ARGS='-budget 2 -rounds 100'.
ARGS ?=
# More arguments for go test, e.g. TESTFLAGS='-run TestTap -v'.
TESTFLAGS ?=

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Start the chat server with its live page on http://127.0.0.1:8080
	go run ./examples/chat

test: setup ## Run all tests of all modules, with the race detector, after setup
	@.ci/test $(TESTFLAGS)

setup: ## Install what the tests drive: Chromium, redis-server, Node's ws client, shellcheck
	@.ci/setup

lint: ## Check formatting and run the linters (.golangci.yml)
	@.ci/lint

fmt: ## Format all Go files
	@"$$(.ci/tool golangci-lint)" fmt

fuzz: ## Run each fuzz target for FUZZTIME (10s)
	@FUZZTIME='$(FUZZTIME)' .ci/fuzz

bench: ## Run the benchmarks COUNT times (1), those matching BENCH (.)
	@.ci/each go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./...

budgets: ## Measure what apmws costs beside the same server without it (5 minutes)
	go run ./exporters/internal/budgets $(ARGS)

dashboards: ## Write the dashboards' files and pictures anew
	go run ./dashboards/internal/generate
	go run ./dashboards/grafana/proof/generate
	go test -run TestPictures ./dashboards/internal/proof -update

vuln: ## Look for known vulnerabilities that the code reaches
	@.ci/vuln

tidy: ## Tidy every go.mod
	@.ci/each env GOWORK=off go mod tidy

ci: ## Run all that CI runs
	@.ci/run
