# One place for every command; CI calls the same ones.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEPLOYED := function_app.py settings.py clients.py clock.py telemetry.py mongodb.py metrics_export.py models registrar push
CODE := $(DEPLOYED) local tests

.PHONY: help demo run test test-unit test-contract test-integration test-end-to-end check format lock clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(STAMP): requirements.txt requirements-dev.txt constraints.txt .python-version
	@python=$$(bash local/find_python.sh) || exit 1; \
	echo "Making $(VENV) with $$($$python --version) ..."; \
	$$python -m venv --clear $(VENV)
	@echo "Installing the pinned requirements (a minute or two the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off -r requirements-dev.txt
	@touch $@

demo: $(STAMP) ## the whole way from a registration to a ring, on this machine
	@$(BIN)/python -m local.demo

run: $(STAMP) ## the stack on port 7071, with curl lines to try
	@$(BIN)/python -m local

test: $(STAMP) ## all tests
	@$(BIN)/python -m pytest

test-unit test-contract test-integration test-end-to-end: $(STAMP)
	@$(BIN)/python -m pytest tests/$(subst -,_,$(patsubst test-%,%,$@))

check: $(STAMP) ## format, lint, import rules, types, static security check, dependency audit
	@echo "Format"; $(BIN)/ruff format --check $(CODE)
	@echo "Lint"; $(BIN)/ruff check $(CODE)
	@echo "Import rules"; PYTHONPATH=. $(BIN)/lint-imports --no-cache
	@echo "Types"; $(BIN)/mypy
	@echo "Static security check"; $(BIN)/bandit --quiet --configfile pyproject.toml --recursive $(DEPLOYED)
	@echo "Dependency audit"; $(BIN)/python -m local.audit

format: $(STAMP) ## rewrite the code in the project's format
	@$(BIN)/ruff format $(CODE); $(BIN)/ruff check --fix $(CODE)

lock: $(STAMP) ## pin what the requirements pull in, in constraints.txt
	@{ echo "# Exact versions of everything that requirements.txt and requirements-dev.txt pull in."; \
	   echo "# Made by 'make lock'; not edited by hand."; \
	   $(BIN)/python -m pip freeze --disable-pip-version-check; } > constraints.txt

clean: ## remove what the commands above made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
