# Names for the commands of README.md, CONTRIBUTING.md and .ci/run; nothing needs make.
.DEFAULT_GOAL := help
.PHONY: help build test race lint format generate ci full dev bench chaos

# A tool at the version that tools/go.mod pins; without cgo, as CI runs it.
tool := CGO_ENABLED=0 go tool -modfile=tools/go.mod

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the command outhook
	go build ./cmd/outhook

test: ## run the tests; they start a PostgreSQL of their own
	go test ./...

race: ## run the packages that start goroutines under the race detector (needs a C compiler)
	go test -race -short -timeout 20m ./internal/batch ./internal/child ./internal/egress ./internal/ingest ./jobs/... ./api

lint: ## run golangci-lint
	$(tool) golangci-lint run

format: ## format the Go files
	$(tool) gofumpt -w .

generate: ## generate the package db from queries and migrations, and the pages' code from their templates
	$(tool) sqlc generate
	$(tool) templ generate -path api/web

ci: ## run everything that CI runs
	.ci/run

full: ## run the slow checks before a release, after ci
	.ci/full

dev: ## run Outhook on a Postgres of its own
	go run ./cmd/outhook dev

bench: ## measure Outhook beside bare River on this machine
	go run ./cmd/outhook bench rest --pairs 5 --baseline river

chaos: ## break everything at random for a minute and count what is lost
	go run ./cmd/outhook-chaos --seed 1 --duration 60s --json
