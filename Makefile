# Everything here sets up what it needs by itself: see scripts/setup.
PYTHON := .venv/bin/python
ARGS ?=
# Most of a test with real servers is waiting: three at a time keep two cores busy.
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup demo fmt check test test-fast chaos bench docs requirements

help: ## Show what can be done
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install packages and servers into this directory; quick when nothing is to do
	@scripts/setup

demo: setup ## Place a phone call on a real livekit-server and record it
	@$(PYTHON) -m lab.demo $(ARGS)

fmt: setup ## Format the code and fix what can be fixed
	$(PYTHON) -m ruff format
	$(PYTHON) -m ruff check --fix

check: setup ## Check format, style, types and the direction of imports
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m ruff check
	$(PYTHON) -m mypy
	.venv/bin/lint-imports

test: setup ## Run all tests, against real servers on loopback; ARGS="-k …" for some
	@scripts/setup egress s3 pythons
	$(PYTHON) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

test-fast: setup ## Run the tests that need no server
	$(PYTHON) -m pytest tests/story tests/unit $(ARGS)

chaos: setup ## Break everything on purpose, and look whether anything is lost; about 12 minutes
	@scripts/setup egress
	$(PYTHON) -m chaos matrix $(ARGS)

bench: setup ## Measure speed, memory and precision
	$(PYTHON) -m benchmarks $(ARGS)

docs: setup ## Write the generated parts of docs/ anew
	$(PYTHON) -m docs.states
	$(PYTHON) -m chaos.page
	.venv/bin/egress-manager settings --markdown > docs/settings.new
	mv docs/settings.new docs/settings.md
	.venv/bin/egress-manager settings --env-example > .env.new
	mv .env.new egress_manager/.env.example

requirements: setup ## Compile requirements*.txt from pyproject.toml
	scripts/requirements
