# The commands that matter: `make run` and `make test`. Each sets up what is missing.

SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.setup-done
NODE_MODULES := tests/clients/node_modules/.package-lock.json
# Tools that check the files of deployments, in a place of their own too.
DEPLOYMENT := .venv/deployment-tools
# Tools that build the documentation as a site, in a place of their own as well.
SITE := .venv/site-tools
MINUTES ?= 15
EXAMPLES ?= 200
# Tools that look at the project from outside, in a place of their own.
TOOLS := .venv/tools
PIP_AUDIT := 2.10.1
CYCLONEDX := 7.5.0
# Tests that ask how soon something starts run beside no others.
ALONE := tests/faults/test_bombs.py
PYTEST = $(BIN)/python -m pytest
# Workers: one more than there are cores, as tests wait now and then.
CORES := $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
FEW := -n $(shell expr $(CORES) + 1) --dist loadgroup --no-loadscope-reorder
COVERED := tests/unit tests/contract tests/integration tests/clients tests/deployment
# What depends on processes, threads and clocks, and is repeated by `make check-long`.
TIMED := tests/unit/webserver tests/integration/executors tests/integration/node tests/integration/queue tests/integration/scheduling \
	tests/integration/test_start.py tests/security/test_cage.py tests/security/test_limits.py tests/browser tests/faults
REPEATS ?= 10
COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11

.PHONY: help setup setup-tests setup-celery setup-otel setup-apprise run demo test test-processes check check-long lint types imports bench faults fuzz audit sbom lock messages docs reference screenshots pictures clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## Install everything into .venv: one to two minutes, once

$(STAMP): requirements.lock pyproject.toml scripts/setup.sh scripts/system-packages.sh
	@scripts/setup.sh $(PYTHON)
	@touch $@

setup-celery: .venv/.celery-done ## Install Celery into .venv, for workers

.venv/.celery-done: requirements-celery.lock $(STAMP)
	@echo "Installing Celery" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-celery.lock
	@touch $@

setup-otel: .venv/.otel-done ## Install OpenTelemetry into .venv, for traces

.venv/.otel-done: requirements-otel.lock $(STAMP)
	@echo "Installing OpenTelemetry" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-otel.lock
	@touch $@

setup-apprise: .venv/.apprise-done ## Install Apprise into .venv, for its type of channel

.venv/.apprise-done: requirements-apprise.lock $(STAMP)
	@echo "Installing Apprise" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-apprise.lock
	@touch $@

setup-tests: $(STAMP) setup-celery setup-otel setup-apprise
	@scripts/system-packages.sh tests
	@$(MAKE) --no-print-directory $(NODE_MODULES) $(DEPLOYMENT)/.done $(SITE)/.done

$(DEPLOYMENT)/.done: tests/deployment/tools.lock
	@test -x $(DEPLOYMENT)/bin/python || $(PYTHON) -m venv $(DEPLOYMENT)
	@$(DEPLOYMENT)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r tests/deployment/tools.lock
	@touch $@

$(SITE)/.done: scripts/site/tools.lock
	@test -x $(SITE)/bin/python || $(PYTHON) -m venv $(SITE)
	@$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r scripts/site/tools.lock
	@touch $@

# The generator and the compiler of the TypeScript client that tests build. Without Node.js, its test is skipped, but in CI it fails.
$(NODE_MODULES): tests/clients/package-lock.json
	@if command -v npm >/dev/null; then cd tests/clients && npm ci --no-audit --no-fund --ignore-scripts --silent; \
		else echo "Install Node.js to test the TypeScript client" >&2; fi

run: $(STAMP) ## Serve http://127.0.0.1:8080 with a MongoDB of its own; make run SAMPLE=1 with sample data
	@exec $(if $(SAMPLE),env JOBWRIGHT_SAMPLE=$(SAMPLE)) $(BIN)/jobwright serve

demo: $(STAMP) $(if $(filter celery,$(EXECUTOR)),setup-celery) ## Run one job of each template and print the outcomes: 20 seconds; make demo EXECUTOR=celery on two Celery workers
	@$(if $(filter celery,$(EXECUTOR)),scripts/system-packages.sh celery)
	@exec $(BIN)/jobwright demo $(if $(EXECUTOR),--executor $(EXECUTOR))

test: setup-tests ## Run all tests: about 40 minutes on two cores
	@echo "1/3 Unit and integration tests: about 22 minutes"
	@$(PYTEST) $(FEW) $(COVERED)
	@$(MAKE) --no-print-directory test-processes

# Coverage is what the first tests reach. In tests of whole services, of browsers or of a kill -9 it would say little and cost much.
check: setup-tests ## Run what CI runs: lint, types, import contracts, all tests, coverage: about 45 minutes on two cores
	@echo "0/3 Lint, types, import contracts: about a minute"
	@$(MAKE) --no-print-directory lint types imports
	@rm -f .coverage .coverage.*
	@echo "1/3 Unit and integration tests with their coverage: about 25 minutes"
	@$(BIN)/python -m coverage run -m pytest $(FEW) $(COVERED)
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report
	@$(MAKE) --no-print-directory test-processes

# Tests of whole services. Those of faults mostly wait, so they run beside the others.
test-processes: setup-tests
	@echo "2/3 Security, browser and fault tests: about 17 minutes"
	@$(PYTEST) $(FEW) tests/security tests/browser tests/faults $(ALONE:%=--ignore=%)
	@echo "3/3 Fault tests that measure time, beside no others: half a minute"
	@$(PYTEST) $(ALONE)

# Long runs have no bound for a test.
check-long faults fuzz: export PYTEST_TIMEOUT = 0
check-long: export CHECK_LONG = 1
check-long: ## Run make check with every example and case, make fuzz, make faults, a slow network, and repeats beside busy loops: some hours
	@$(MAKE) --no-print-directory check fuzz faults
	@echo "Browser tests over a slow network"; BROWSER_LATENCY_MS=400 $(PYTEST) $(FEW) tests/browser
	@for round in $$(seq $(REPEATS)); do echo "Repeat $$round of $(REPEATS), beside three busy loops"; \
		CHECK_LONG= $(BIN)/python -m tests.busy 3 $(PYTEST) $(FEW) $(TIMED) || exit 1; done

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/yamllint --strict compose.yaml deploy .github
	@$(BIN)/python scripts/lint_dockerfile.py Dockerfile

types: $(STAMP)
	@$(BIN)/mypy
	@cd clients/python && ../../$(BIN)/mypy

imports: $(STAMP)
	@$(BIN)/lint-imports
	@cd clients/python && PYTHONPATH=src ../../$(BIN)/lint-imports

bench: setup-tests ## Measure, and print the figures with the machine that made them
	@$(BIN)/python -m tests.bench

faults: setup-tests ## Run the fault tests for longer: make faults MINUTES=15
	@JOBWRIGHT_FAULT_MINUTES=$(MINUTES) $(PYTEST) tests/faults

$(TOOLS)/.pip-audit-$(PIP_AUDIT) $(TOOLS)/.cyclonedx-bom-$(CYCLONEDX): $(STAMP)
	@test -x $(TOOLS)/bin/python || $(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==$(PIP_AUDIT) cyclonedx-bom==$(CYCLONEDX)
	@touch $(TOOLS)/.pip-audit-$(PIP_AUDIT) $(TOOLS)/.cyclonedx-bom-$(CYCLONEDX)

fuzz: setup-tests ## Try odd inputs and damaged records for longer, with schemathesis: make fuzz EXAMPLES=200
	@CHECK_LONG=1 FUZZ_EXAMPLES=$(EXAMPLES) $(PYTEST) tests/security/test_fuzz.py
	@CHECK_LONG=1 $(PYTEST) -n auto tests/security/test_odd_inputs.py tests/integration/all_rooms/test_damage.py

audit: $(TOOLS)/.pip-audit-$(PIP_AUDIT) ## Look for known vulnerabilities of the locked packages (pip-audit; asks an advisory database)
	@$(BIN)/python scripts/audit.py $(TOOLS)/bin/pip-audit requirements-runtime.lock

sbom: $(TOOLS)/.cyclonedx-bom-$(CYCLONEDX) ## Write the bill of materials of the locked packages, as CycloneDX: sbom.json
	@$(TOOLS)/bin/cyclonedx-py requirements requirements-runtime.lock --pyproject pyproject.toml --output-reproducible --of JSON -o sbom.json
	@echo "sbom.json: $$($(PYTHON) -c "import json; print(len(json.load(open('sbom.json'))['components']))") components"

messages: $(STAMP) ## Collect the texts of pages into web/locale, for translators
	@$(BIN)/python -m scripts.messages

docs: $(STAMP) $(SITE)/.done ## Build the documentation as a static site in English and German: build/site/; half a minute
	@$(BIN)/python -m scripts.site $(SITE)/bin/sphinx-build build/site
	@echo "build/site/index.html"

reference: $(STAMP) ## Write the reference page of each template again: docs/reference/templates/
	@$(BIN)/python -m scripts.reference

screenshots: setup-tests ## Take a picture of every page, light, dark, on a phone and in German: screenshots/; 3 to 5 minutes
	@$(BIN)/python -m scripts.screenshots

pictures: setup-tests ## Renew the pictures of README and the guides: docs/pictures/
	@$(BIN)/python -m scripts.screenshots --docs

lock: ## Resolve the lock files again
	@$(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet uv
	@$(COMPILE) --extra local --extra s3 --extra sftp --extra gcs --group dev --group build --output-file requirements.lock
	@$(COMPILE) --group build --output-file requirements-runtime.lock
	@$(COMPILE) --extra celery --group build --constraint requirements.lock --output-file requirements-celery.lock
	@$(COMPILE) --extra otel --group build --constraint requirements.lock --output-file requirements-otel.lock
	@$(COMPILE) --extra apprise --group build --constraint requirements.lock --output-file requirements-apprise.lock
	@$(COMPILE:pyproject.toml=tests/deployment/tools.in) --output-file tests/deployment/tools.lock
	@$(COMPILE:pyproject.toml=scripts/site/tools.in) --output-file scripts/site/tools.lock

clean: ## Remove what make has created, but not ./data
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .coverage .coverage.* *.egg-info
