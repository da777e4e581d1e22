.DEFAULT_GOAL := help
SHELL         := bash
.SHELLFLAGS   := -eu -o pipefail -c

# Each tool is pinned by a go.mod of its own below .ci/tools, outside go.work, and built into bin/tools: nothing has to be
# installed but Go and make, and no program's dependencies are those of a tool.
GOLANGCI_LINT := bin/tools/golangci-lint
WIRE          := "$(CURDIR)/bin/tools/wire"
MODULES        = $(or $(shell awk '$$1 ~ /^\.\// {print $$1}' go.work),$(error go.work lists no module))
WIRED          = $(or $(dir $(wildcard services/*/app/wire.go)),$(error no services/*/app/wire.go))
FUZZTIME      ?= 20000x
CHAOS         ?= 60s
COUNT         ?= 1
EVENTS        ?= 300

# STRICT=1, as in GitHub's workflows: what would be skipped for want of a tool fails.
SKIP           = { echo "$@: skipped: $(1)"; test -z "$(STRICT)"; }

bin/tools/%: .ci/tools/%/go.mod .ci/tools/%/go.sum
	@GOWORK=off GOBIN="$(CURDIR)/bin/tools" go -C .ci/tools/$* install tool && touch $@

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^##@ /{print "\n" substr($$0, 5) ":"} \
	  /^[a-z-]+:.*## /{line = sprintf("  make %-17s", $$1); n = split($$2, words, " "); \
	    for (i = 1; i <= n; i++) { \
	      if (length(line " " words[i]) > 80) { print line; line = sprintf("%24s", "") } \
	      line = line " " words[i] } \
	    print line}' $(MAKEFILE_LIST)

# What .env sets, unless the environment or the command line does.
DOTENV = given=$$(export -p); set -a; [ ! -f .env ] || . ./.env; set +a; eval "$$given"

##@ To try it

.PHONY: run
run: ## Run everything in one process, AWS included, on 127.0.0.1 (DATA_DIR, SEED_USERS, API_ADDR, ADMIN_ADDR, AWS_ADDR)
	@.ci/build bin/leftfold ./services/leftfold && { $(DOTENV); exec bin/leftfold; }

.PHONY: services
services: ## Run everything as make run does, but each service and the AWS as a process of its own (WITHOUT=broker)
	@.ci/build bin/ $(SERVICES:%=./services/%) && { $(DOTENV); exec bin/leftfold services $(WITHOUT:%=--without %); }

.PHONY: demo
demo: ## Play a story through what make run runs, or else alone, and show each hop (DEMO_USERS, DEMO_RATE)
	@.ci/build bin/leftfold ./services/leftfold && { $(DOTENV); bin/leftfold demo || test $$? = 130; } # Ctrl-C is no error

##@ To develop

.PHONY: test
test: ## All tests, the longest shortened, or those of PACKAGES: no C compiler, no Docker, no network
	@go run ./.ci/gotest $(PACKAGES)

.PHONY: test-race
test-race: ## All tests in full with the race detector, which needs a C compiler
	@go run ./.ci/gotest -race $(PACKAGES)

.PHONY: test-processes
test-processes: ## Kill real processes at random for CHAOS under load, COUNT times; then let replicas share shards
	LEFTFOLD_CHAOS=$(CHAOS) .ci/named 'TestProcessesKilledAtRandomLoseNothing TestProcessesOnSilentConnections' \
	  -count=$(COUNT) -timeout 2h ./test/e2e
	.ci/named TestThreeJoiningThreeShareTheShards ./test/e2e

.PHONY: drill
drill: ## Lose each table, queue, stream and archive in turn, make it good as docs/operations.md says, and print the times (EVENTS)
	LEFTFOLD_DRILL=$(EVENTS) .ci/named TestEachDisasterIsMadeGood -parallel 1 ./test/e2e

.PHONY: test-aggregate
test-aggregate: ## Have two new aggregates made in a copy of the tree, and check it as a whole
	LEFTFOLD_AGGREGATE=1 .ci/named TestANewAggregatePassesEveryCheck -timeout 2h ./test/e2e/walkthrough

.PHONY: memory
memory: ## Fail if the whole system holds more than 300 MB after 10,000 commands (without the race detector)
	.ci/named TestMemoryStaysSmall ./test/e2e

.PHONY: newcomer
newcomer: ## Do a newcomer's first hour on a clone, with Go and make alone and empty caches, and time it (STEPS, all if none is named)
	@.ci/newcomer $(STEPS)

CHECKS := lint lint-floors lint-workflows lint-asyncapi alerts tidy vuln licences apidiff wire-check test-race release-check memory fuzz

##@ What CI runs, and its parts

.PHONY: check
check: ## Everything CI checks; says what each part took
	@for part in $(CHECKS); do started=$$SECONDS; $(MAKE) --no-print-directory $$part || exit 1; \
	  echo "check: $$part took $$((SECONDS - started)) s"; done

.PHONY: check-long
check-long: ## What does not fit into check: 2,000 seeds, planted bugs, processes killed, the API fuzzed, containers, benchmarks (hours)
	$(MAKE) simulate SEEDS=2000
	$(MAKE) simulate-mutants
	$(MAKE) test-processes COUNT=5
	$(MAKE) drill
	$(MAKE) test-aggregate
	$(MAKE) openapi-lint fuzz-api lint-deploy test-docker test-kcl binaries
	$(MAKE) newcomer
	$(MAKE) bench

.PHONY: fmt
fmt: bin/tools/golangci-lint ## Format
	$(GOLANGCI_LINT) fmt $(addsuffix /...,$(MODULES))

.PHONY: lint
lint: bin/tools/golangci-lint ## Lint every module; the floors are rules of .golangci.yml
	$(GOLANGCI_LINT) run --allow-serial-runners $(addsuffix /...,$(MODULES))
	@cd .ci/alerts && GOWORK=off "$(CURDIR)/$(GOLANGCI_LINT)" run ./...
	@.ci/lines

.PHONY: lint-floors
lint-floors: bin/tools/golangci-lint ## Fail unless the linter reports a forbidden import of every kind (in a copy of the tree)
	@.ci/floors "$(CURDIR)/$(GOLANGCI_LINT)"

.PHONY: lint-workflows
lint-workflows: bin/tools/actionlint ## Lint GitHub's workflows, the same whatever else is installed
	bin/tools/actionlint -shellcheck= -pyflakes=

.PHONY: alerts
alerts: ## Fail unless each of Prometheus's alerts is raised by the metrics of its disaster, and none by those of a healthy system
	@GOWORK=off go -C .ci/alerts test -count=1 ./... # the cache does not notice what is outside of the module

ASYNCAPI_SPECS := 6.11.1

.PHONY: lint-asyncapi
lint-asyncapi: ## Check docs/asyncapi.yaml against AsyncAPI's published JSON schema, as far as npm is there
	@if ! command -v npm >/dev/null; then $(call SKIP,npm is not installed); else \
	  specs="bin/asyncapi-$(ASYNCAPI_SPECS)"; \
	  schema="$$specs/node_modules/@asyncapi/specs/schemas/3.0.0.json"; \
	  test -f "$$schema" || npm install --silent --no-audit --no-fund --prefix "$$specs" @asyncapi/specs@$(ASYNCAPI_SPECS); \
	  LEFTFOLD_ASYNCAPI_SCHEMA="$(CURDIR)/$$schema" .ci/named TestAsyncAPIIsValid ./docs/eventdocs; fi

AXE := 4.14.1

.PHONY: axe
axe: ## The accessibility engine for the console's test
	@npm install --silent --no-audit --no-fund --prefix bin/axe axe-core@$(AXE)

.PHONY: screenshots
screenshots: ## Write the pictures in docs/images, of a console over the demo's story (needs Chromium)
	@mkdir -p docs/images && cd services/leftfold && IMAGES=$(CURDIR)/docs/images go test -count=1 -run '^TestImages$$' .

.PHONY: vuln
vuln: bin/tools/govulncheck ## Report known vulnerabilities that are called (VULNDB: a mirror; VULN=required: fail without it; VULN=off)
	@VULN=$(VULN) VULNDB=$(VULNDB) .ci/vuln bin/tools/govulncheck

.PHONY: licences
licences: bin/tools/go-licenses ## Fail unless every library of a program has an allowed licence; put them into bin/THIRD_PARTY
	@.ci/licences bin/tools/go-licenses -o bin/THIRD_PARTY ./services/*/

.PHONY: apidiff
apidiff: bin/tools/apidiff ## Fail on an incompatible change of the packages for others, unless CHANGELOG.md announces it
	@.ci/apidiff bin/tools/apidiff

.PHONY: release-check
release-check: bin/tools/apidiff ## Release the tree into a folder, then go install and go get it from there as its users will
	LEFTFOLD_RELEASE=1 go test -count=1 -timeout 60m -v ./.ci/release

.PHONY: binaries
binaries: bin/tools/goreleaser bin/tools/go-licenses ## Build a release's archives into bin/release; vet leftfold for their systems
	bin/tools/goreleaser check
	@for system in darwin windows; do GOOS=$$system go vet ./services/leftfold/... || exit 1; done
	bin/tools/goreleaser release --snapshot --clean

.PHONY: tidy
tidy: ## Fail if a go.mod is untidy or a module builds only thanks to go.work
	@for m in $(MODULES); do (cd "$$m" && go mod tidy -diff && GOWORK=off go build -o /dev/null ./...) || exit 1; done
	@for t in .ci/tools/* .ci/alerts; do GOWORK=off go -C "$$t" mod tidy -diff || exit 1; done

.PHONY: wire
wire: bin/tools/wire ## Regenerate every wire_gen.go
	@for d in $(WIRED); do (cd $$d && $(WIRE) gen .) || exit 1; done

.PHONY: wire-check
wire-check: bin/tools/wire ## Fail if a wire_gen.go is stale
	@for d in $(WIRED); do (cd $$d && $(WIRE) diff .) || exit 1; done

.PHONY: fuzz
fuzz: ## Run every fuzz target FUZZTIME times (or long: 5m)
	@targets=$$(grep -roE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' $(MODULES) | sort -u); \
	for target in $${targets//func /}; do \
	  go test -run '^$$' -fuzz "^$${target#*:}\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x \
	    "$$(dirname "$${target%:*}")" || exit 1; done

##@ To measure

.PHONY: bench
bench: ## Measure the real programs beside their floors and print it: 20 minutes at most (ONLY=case,case QUICK=1 JSON=1)
	@go build -o bin/bench ./test/bench && bin/bench $(ONLY:%=--only %) $(if $(QUICK),--quick) $(if $(JSON),--json)

.PHONY: bench-long
bench-long: ## Measure much more, backlogs of 1,000,000 events among it, and write docs/benchmarks.md (an hour, some GB; ONLY=case,case)
	@go build -o bin/bench ./test/bench && bin/bench --long --out docs --command 'make bench-long' $(ONLY:%=--only %)

PEERS  ?=
ROUNDS ?= 5
REPORT ?= docs
TRIALS ?= 1

.PHONY: compare
compare: ## Do the same work with other libraries that are installed, and write docs/comparison.md (PEERS, ROUNDS, REPORT)
	@go build -o bin/compare/ ./test/compare && bin/compare/compare -install leftfold
	@bin/compare/compare -rounds $(ROUNDS) -out "$(REPORT)" $(PEERS)

.PHONY: compare-install
compare-install: ## Install the libraries for make compare into bin/compare, as far as npm and others are there (PEERS)
	@go run ./test/compare -install $(PEERS)

.PHONY: compare-readers
compare-readers: bin/kcl ## The same for shard readers, beside AWS's Kinesis Client Library (TRIALS, REPORT; JDK and Maven)
	@if [ ! -d bin/kcl/kinesis ]; then $(call SKIP,needs a JDK and Maven); else \
	  rm -rf bin/compare-readers && mkdir -p bin/compare-readers && \
	  javac -d bin/compare-readers -cp "bin/kcl/kinesis/*" test/compare/readers/kcl/Worker.java && \
	  go build -o bin/compare-readers/ ./test/compare/readers && bin/compare-readers/readers -rounds $(TRIALS) -out "$(REPORT)"; fi

# What lints and fuzzes the API is not Go: these two targets need npx and python3, and no other target does.
REDOCLY      := @redocly/cli@2.77.0
SCHEMATHESIS := 4.32.5
CASES        ?= 10000

##@ The API, with tools that are not Go

.PHONY: openapi-lint
openapi-lint: ## Lint the OpenAPI document that a running system serves (needs npx)
	@go build -o bin/leftfold ./services/leftfold
	@deploy/openapi/with-leftfold bash -c 'curl -fsS "$$API/openapi.json" -o bin/openapi.json'
	@npx --yes $(REDOCLY) lint --config deploy/openapi/redocly.yaml bin/openapi.json

.PHONY: fuzz-api
fuzz-api: ## Send at least CASES requests made of the OpenAPI document and check every answer against it (needs python3)
	@go build -o bin/leftfold ./services/leftfold
	@test -x bin/schemathesis-$(SCHEMATHESIS)/bin/st || { python3 -m venv bin/schemathesis-$(SCHEMATHESIS) && \
	  bin/schemathesis-$(SCHEMATHESIS)/bin/pip install --quiet schemathesis==$(SCHEMATHESIS); }
	@deploy/openapi/with-leftfold deploy/openapi/fuzz bin/schemathesis-$(SCHEMATHESIS)/bin/st $(CASES)

SEEDS ?= 200
SEED  ?= 1

##@ To simulate

.PHONY: simulate
simulate: ## Play SEEDS seeds from SEED on: a fleet under faults, kills, pauses and reshards, checked against its promises
	@go test -c -o bin/simulation ./test/simulation && bin/simulation -simulate $(SEEDS) -seed $(SEED)

.PHONY: simulate-mutants
simulate-mutants: ## Plant bugs one by one and show which promise catches each, in at most SEEDS seeds
	@go test -c -o bin/simulation ./test/simulation && bin/simulation -mutants $(SEEDS) -seed $(SEED)

.PHONY: simulate-variants
simulate-variants: ## Play read sides as they are usually built with the same SEEDS from SEED on, and count what went wrong with each
	@go test -c -o bin/simulation ./test/simulation && bin/simulation -variants $(SEEDS) -seed $(SEED)

SERVICES := $(patsubst services/%/main.go,%,$(wildcard services/*/main.go))
SERVICE  ?= streamer
VERSION  ?= dev
DOCKER    = for part in version 'compose version' 'buildx version'; do docker $$part >/dev/null 2>&1 || { \
              echo "make $@: needs Docker with Compose and buildx: docker $$part fails" >&2; exit 1; }; done
BUILD     = docker build -q -f deploy/Dockerfile --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) \
              --build-arg GOPROXY=$(GOPROXY) $(if $(PLATFORM),--platform $(PLATFORM))

##@ With Docker

.PHONY: images
images: ## Build every service's image, show their sizes and fail above 30 MB (VERSION, PLATFORM=linux/arm64)
	@$(DOCKER)
	@for s in $(SERVICES); do $(BUILD) --build-arg SERVICE=$$s -t leftfold/$$s:$(VERSION) . >/dev/null; \
	  docker image inspect -f '{{.Size}} {{.Architecture}}' leftfold/$$s:$(VERSION) | \
	    awk -v image=leftfold/$$s:$(VERSION) '{printf "%-32s %s %5.1f MB\n", image, $$2, $$1/1e6; exit $$1 > 30e6}'; done

.PHONY: reproducible
reproducible: ## Compile SERVICE for its image twice from nothing and fail if the two binaries differ (PLATFORM)
	@$(DOCKER)
	@for n in 1 2; do $(BUILD) --build-arg SERVICE=$(SERVICE) --build-arg GOFLAGS=-a --no-cache \
	  --target binary --output bin/image-$$n . >/dev/null; done
	@cd bin && sha256sum image-1/app image-2/app && cmp image-1/app image-2/app

HADOLINT         := 2.15.1
CHECK_JSONSCHEMA := 0.39.0

.PHONY: lint-deploy
lint-deploy: ## Lint Dockerfile and Compose file, check them and CI's files against their schemas, as far as docker and python3 are there
	@STRICT=$(STRICT) deploy/lint $(HADOLINT) $(CHECK_JSONSCHEMA)

.PHONY: test-docker
test-docker: ## Test LocalStack, in a container, and the images as the embedded AWS and the programs are tested
	@if ! docker version >/dev/null 2>&1; then $(call SKIP,no Docker engine answers (docker version says why)); else \
	  $(MAKE) --no-print-directory images && LEFTFOLD_AWS=localstack LEFTFOLD_IMAGES=$(VERSION) \
	  .ci/named 'TestAnExternalAWSPassesTheSameTests TestTheImagesKeepTheContract' -timeout 30m ./test/e2e; fi

.PHONY: test-kcl
test-kcl: bin/kcl ## Run AWS's Kinesis Client Library and its adapter for DynamoDB Streams against the embedded AWS (JDK and Maven)
	@if [ ! -d bin/kcl/dynamodb ]; then $(call SKIP,needs a JDK and Maven); else \
	  LEFTFOLD_KCL="$(CURDIR)/bin/kcl" .ci/named TestTheKinesisClientLibraryReadsEverythingInOrder ./pkg/localaws; fi

KCL := pkg/localaws/testdata/kcl

# The adapter is made for an older version of the library.
bin/kcl: $(KCL)/pom.xml $(KCL)/Reader.java
	@rm -rf $@ && mkdir -p $@
	@if { javac -version && mvn -version; } >/dev/null 2>&1; then for version in kinesis=3.5.1 dynamodb=3.1.1; do \
	  mvn -q -B -f $(KCL)/pom.xml dependency:copy-dependencies -Dkcl.version=$${version#*=} \
	    -DoutputDirectory="$(CURDIR)/$@/$${version%=*}" && \
	  javac -d $@/$${version%=*} -cp "$@/$${version%=*}/*" $(KCL)/Reader.java || { rm -rf $@; exit 1; }; done; fi

# What make up runs, as Compose and .env have it: the address of its API, and its AWS.
RUNNING = $(DOTENV); export LEFTFOLD_API="$${API:-http://127.0.0.1:$${EDGE_PORT:-8080}}" \
  COMPOSE_PROFILES="$${PROFILE:-$${COMPOSE_PROFILES:-}}"

.PHONY: up
up: ## Run everything in containers on 127.0.0.1:8080 and wait until it is ready (PROFILE=localstack or embedded)
	@$(DOCKER)
	@$(RUNNING); deploy/compose/up

.PHONY: smoke
smoke: ## Walk the README's walk on the system at API (default: what make up runs)
	@$(RUNNING); .ci/named TestSmoke ./services/leftfold

.PHONY: accidents
accidents: ## Under load, for LOAD at least, kill and scale what make up runs; then compare all with the log (PROFILE)
	@$(DOCKER)
	@$(RUNNING); LEFTFOLD_LOAD="$${LOAD:-60s}" LEFTFOLD_MEANWHILE="$(CURDIR)/deploy/compose/accidents" \
	  AWS_ENDPOINT_URL="http://127.0.0.1:$${AWS_PORT:-4566}" AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local \
	  .ci/named TestARunningSystemKeepsItsContract -timeout 30m ./test/e2e

.PHONY: down
down: ## Stop the containers and remove their data
	@$(DOCKER)
	docker compose --profile '*' down --volumes --remove-orphans

.PHONY: logs
logs: ## Follow the containers' logs
	@$(DOCKER)
	docker compose --profile '*' logs --follow --tail 100

##@ On AWS

.PHONY: pin
pin: ## Pin actions, base images and Terraform's providers by digest (needs the network; releases need it)
	@deploy/pin

.PHONY: tf-check
tf-check: ## Format, validate, test (mock providers, no account) and lint the Terraform, as far as the tools are there
	@STRICT=$(STRICT) deploy/terraform/tf-check
