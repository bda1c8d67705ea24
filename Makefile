# Everything a newcomer needs: `make run`, `make demo`, `make test`. Each sets up what it lacks.

SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.setup-done
MINUTES ?= 15
EXAMPLES ?= 200
# Tools that look at the project from outside, in a place of their own.
TOOLS := .venv/tools
PIP_AUDIT := 2.10.1
CYCLONEDX := 7.5.0
# Tests that ask how soon something starts run beside no others.
ALONE := tests/faults/test_bombs.py
COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11

.PHONY: help setup setup-tests run demo test check lint types imports bench faults fuzz audit sbom lock messages screenshots clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## Install everything into .venv

$(STAMP): requirements.lock pyproject.toml scripts/system-packages.sh
	@echo "Setting up .venv: half a minute, once" >&2
	@scripts/system-packages.sh runtime
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q app web templates_lib migrations_scripts
	@touch $@

setup-tests: $(STAMP)
	@scripts/system-packages.sh tests

run: $(STAMP) ## Serve http://127.0.0.1:8080 with a MongoDB of its own
	@exec $(BIN)/jobwright serve

demo: $(STAMP) ## Run one job of each template on sample data, print what became of it
	@exec $(BIN)/jobwright demo

test: setup-tests ## All tests
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder tests/unit tests/integration tests/security
	@$(BIN)/python -m pytest -n auto --dist loadfile tests/browser
	@$(BIN)/python -m pytest $(ALONE)
	@$(BIN)/python -m pytest -n auto tests/faults $(ALONE:%=--ignore=%)

# Coverage is what the first tests reach: that of a browser or a kill -9 says little, and makes both slower than what they stand for.
check: setup-tests lint types imports ## What CI runs: lint, types, import contracts, all tests, coverage of the first
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m coverage run -m pytest -n auto --dist loadfile --no-loadscope-reorder tests/unit tests/integration tests/security
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report
	@$(BIN)/python -m pytest -n auto --dist loadfile tests/browser
	@$(BIN)/python -m pytest $(ALONE)
	@$(BIN)/python -m pytest -n auto tests/faults $(ALONE:%=--ignore=%)

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/yamllint --strict compose.yaml
	@$(BIN)/python scripts/lint_dockerfile.py Dockerfile

types: $(STAMP)
	@$(BIN)/mypy

imports: $(STAMP)
	@$(BIN)/lint-imports

bench: setup-tests ## Figures, with the machine that made them
	@$(BIN)/python -m tests.bench

faults: setup-tests ## The long run of the fault tests: make faults MINUTES=15
	@JOBWRIGHT_FAULT_MINUTES=$(MINUTES) $(BIN)/python -m pytest tests/faults

$(TOOLS)/.pip-audit-$(PIP_AUDIT) $(TOOLS)/.cyclonedx-bom-$(CYCLONEDX): $(STAMP)
	@test -x $(TOOLS)/bin/python || $(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==$(PIP_AUDIT) cyclonedx-bom==$(CYCLONEDX)
	@touch $(TOOLS)/.pip-audit-$(PIP_AUDIT) $(TOOLS)/.cyclonedx-bom-$(CYCLONEDX)

fuzz: setup-tests ## The long run of odd inputs and damaged records, with schemathesis: make fuzz EXAMPLES=200
	@FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/security/test_fuzz.py
	@ODD_INPUTS=all $(BIN)/python -m pytest -n auto tests/security/test_odd_inputs.py tests/integration/all_rooms/test_damage.py

audit: $(TOOLS)/.pip-audit-$(PIP_AUDIT) ## Known vulnerabilities of what is locked (pip-audit; asks an advisory database)
	@$(BIN)/python scripts/audit.py $(TOOLS)/bin/pip-audit requirements-runtime.lock

sbom: $(TOOLS)/.cyclonedx-bom-$(CYCLONEDX) ## Bill of materials of what is locked, as CycloneDX: sbom.json
	@$(TOOLS)/bin/cyclonedx-py requirements requirements-runtime.lock --pyproject pyproject.toml --output-reproducible --of JSON -o sbom.json
	@echo "sbom.json: $$($(PYTHON) -c "import json; print(len(json.load(open('sbom.json'))['components']))") components"

messages: $(STAMP) ## Collect what pages say into web/locale, for translators
	@$(BIN)/python -m scripts.messages

screenshots: setup-tests ## Each page of a believable installation, by day, by night, on a phone, in German: screenshots/
	@$(BIN)/python -m scripts.screenshots

lock: ## Resolve the lock file anew
	@$(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet uv
	@$(COMPILE) --extra local --extra s3 --extra sftp --extra gcs --group dev --group build --output-file requirements.lock
	@$(COMPILE) --group build --output-file requirements-runtime.lock

clean: ## Remove what make made, but not ./data
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .coverage .coverage.* *.egg-info
