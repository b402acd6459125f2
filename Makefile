# One place for every command; CI calls the same ones.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
SDK_STAMP := $(VENV)/.installed-sdk
POLICY := .venv-policy
POLICY_STAMP := $(POLICY)/.installed
CLIENTS := .venv-clients
CLIENTS_STAMP := $(CLIENTS)/.installed
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --progress-bar off
# checkov takes options, skips and keys from the environment and from the home folder too. It gets neither, so that
# only the project decides. It sends no request, neither for policies nor for a newer version of itself, and fails for a
# file that it cannot parse instead of leaving it out (without --quiet it says which).
CHECKOV := env -i PATH="$$PATH" HOME="$(abspath $(POLICY))" \
	CKV_SKIP_PACKAGE_UPDATE_CHECK=true CKV_PARSE_ERROR_FAIL=true \
	$(POLICY)/bin/checkov --framework bicep --skip-download --quiet --compact
DEPLOYED := function_app.py app.py settings.py common models registrar push health
CODE := $(DEPLOYED) local doctor migrate tools infra/scripts bench tests
KQL := tools/kql

.PHONY: help demo run picture browser test test-unit test-contract test-integration test-end-to-end soak bench bench-long check check-kql az-commands format lock lock-policy lock-clients clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

define new_venv
python=$$(bash tools/find_python.sh) || exit 1; \
	echo "Making $(1) with $$($$python --version) ..."; \
	$$python -m venv --clear $(1)
endef

$(STAMP): requirements/app.txt requirements/dev.txt requirements/constraints.txt .python-version
	@$(call new_venv,$(VENV))
	@echo "Installing the pinned requirements (a minute or two the first time) ..."
	@$(BIN)/python $(PIP_INSTALL) -r requirements/dev.txt
	@touch $@

$(POLICY_STAMP): requirements/policy.txt requirements/constraints-policy.txt .python-version
	@$(call new_venv,$(POLICY))
	@echo "Installing the pinned policy checker (half a minute the first time) ..."
	@$(POLICY)/bin/python $(PIP_INSTALL) -r requirements/policy.txt
	@touch $@

# What a test generates clients from docs/openapi.yaml with, and runs them.
$(CLIENTS_STAMP): requirements/clients.txt requirements/constraints-clients.txt tests/clients/package-lock.json .python-version
	@$(call new_venv,$(CLIENTS))
	@echo "Installing the pinned generators of clients ..."
	@$(CLIENTS)/bin/python $(PIP_INSTALL) -r requirements/clients.txt
	@if command -v npm >/dev/null; then npm ci --prefix tests/clients --no-audit --no-fund --loglevel error; \
	else echo "npm is not installed: the client for TypeScript is left out"; fi
	@touch $@

# Microsoft's client for JavaScript: tests point it at the hub simulator, the benchmark compares with it.
$(SDK_STAMP): $(STAMP) bench/node/package-lock.json
	@if command -v npm >/dev/null; then npm ci --prefix bench/node --no-audit --no-fund --loglevel error; \
	else echo "npm is not installed: Microsoft's client for JavaScript is left out"; fi
	@touch $@

demo: $(STAMP) ## the whole way from a registration to a ring, on this machine
	@$(BIN)/python -m local.demo

run: $(STAMP) ## the stack on port 7071 and a page on 7072; options: make run ARGS='--port 8071', ARGS=--help
	@$(BIN)/python -m local $(ARGS)

picture: $(STAMP) ## new pictures of the page for the README; needs Chromium, Chrome or Edge
	@$(BIN)/python -m local.page.picture docs/images

test: $(STAMP) $(CLIENTS_STAMP) $(SDK_STAMP) browser ## all tests, three files at a time: most of them wait for something
	@$(BIN)/python -m pytest -n 3 --dist loadfile

test-end-to-end: $(CLIENTS_STAMP) browser

test-contract: $(SDK_STAMP)

# The tests of the page need a browser; they are skipped without one.
browser: $(STAMP)
	@$(BIN)/python -m local.page.chromium

test-unit test-contract test-integration test-end-to-end: $(STAMP)
	@$(BIN)/python -m pytest tests/$(subst -,_,$(patsubst test-%,%,$@))

$(BENCH_STAMP): $(STAMP) $(SDK_STAMP) requirements/bench.txt
	@echo "Installing what the benchmark needs on top ..."
	@$(BIN)/python $(PIP_INSTALL) -r requirements/bench.txt
	@touch $@

bench: $(BENCH_STAMP) ## how fast it is, beside floor, reference way and public clients (a few minutes)
	@$(BIN)/python -m bench

bench-long: $(BENCH_STAMP) ## the same with 50,000 events for the memory and 1,000,000 registrations
	@$(BIN)/python -m bench --sizes long

soak: $(STAMP) ## 10,000 calls with duplicates and faults of hub, network and database; a few minutes on two cores
	@$(BIN)/python -m local.soak $(ARGS)

check: $(STAMP) $(POLICY_STAMP) ## format, lint, import rules, types, what is deployed, security
	@echo "Format"; $(BIN)/ruff format --check $(CODE)
	@echo "Lint"; $(BIN)/ruff check $(CODE)
	@echo "Import rules"; PYTHONPATH=. $(BIN)/lint-imports --no-cache
	@echo "Types"; $(BIN)/mypy
	@echo "Deployment"; $(BIN)/python -m tools.bicep infra
	@echo "Deployment, checkov's policies"; $(CHECKOV) --directory infra
	@echo "KQL queries"; if command -v npm >/dev/null; then $(MAKE) --no-print-directory check-kql; \
	else echo "npm is not installed: the queries are not parsed"; fi
	@echo "Shell scripts"; $(BIN)/shellcheck tools/*.sh .ci/run
	@echo "Static security check"; $(BIN)/bandit --quiet --configfile pyproject.toml --recursive $(DEPLOYED)
	@echo "Dependency audit"; $(BIN)/python -m tools.audit

$(KQL)/node_modules: $(KQL)/package-lock.json
	@npm ci --prefix $(KQL) --no-audit --no-fund --loglevel error
	@touch $@

check-kql: $(KQL)/node_modules
	@node $(KQL)/check.mjs .

format: $(STAMP) ## rewrite the code in the project's format
	@$(BIN)/ruff format $(CODE); $(BIN)/ruff check --fix $(CODE)

# Versions that are pinned already stay, unless the requirements ask for others; delete a line to have it found anew.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.13 --no-annotate --no-emit-package pip \
	--custom-compile-command 'make lock'
lock: $(STAMP) ## pin all that the requirements pull in: requirements/constraints.txt, and requirements.txt with hashes
	@sed '/^-[cr] /d' requirements/dev.txt requirements/bench.txt | \
		$(LOCK) requirements/app.txt - --output-file requirements/constraints.txt
	@$(LOCK) requirements/app.txt --constraint requirements/constraints.txt --generate-hashes \
		--output-file requirements.txt

az-commands: $(STAMP) ## look up the options of the az commands in the documents; new ones: NAMES='"group create"'
	@$(BIN)/uv run --quiet --isolated --no-project --with 'azure-cli==2.91.0' python -m tools.az_commands $(NAMES)

lock-policy: ## find anew what checkov pulls in, and pin it in requirements/constraints-policy.txt
	@$(call new_venv,$(POLICY))
	@grep -v '^-c ' requirements/policy.txt > $(POLICY)/unpinned.txt
	@$(POLICY)/bin/python $(PIP_INSTALL) -r $(POLICY)/unpinned.txt
	@{ echo "# Exact versions of everything that requirements/policy.txt pulls in."; \
	   echo "# Made by 'make lock-policy'; not edited by hand."; \
	   $(POLICY)/bin/python -m pip freeze --disable-pip-version-check; } > requirements/constraints-policy.txt
	@touch $(POLICY_STAMP)

lock-clients: ## find anew what openapi-python-client pulls in, and pin it in requirements/constraints-clients.txt
	@$(call new_venv,$(CLIENTS))
	@grep -v '^-c ' requirements/clients.txt > $(CLIENTS)/unpinned.txt
	@$(CLIENTS)/bin/python $(PIP_INSTALL) -r $(CLIENTS)/unpinned.txt
	@{ echo "# Exact versions of everything that requirements/clients.txt pulls in."; \
	   echo "# Made by 'make lock-clients'; not edited by hand."; \
	   $(CLIENTS)/bin/python -m pip freeze --disable-pip-version-check; } > requirements/constraints-clients.txt

clean: ## remove what the commands above made
	rm -rf $(VENV) $(POLICY) $(CLIENTS) tests/clients/node_modules bench/node/node_modules $(KQL)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
