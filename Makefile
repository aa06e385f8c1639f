# What one does with this project. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PACKAGES := packages/zlh_common packages/zlh_agent packages/zlh_api
READY := $(VENV)/.ready
# Programs that are started by the hundred are compiled once, whatever the machine is set to.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

# First what others wrote, pinned and hashed, the build backend included; then our own, which need nothing more.
$(READY): requirements.lock $(addsuffix /pyproject.toml,$(PACKAGES))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "ZLH needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Installing dependencies into $(VENV): a minute or two, once …"
	@$(PYTHON) -m venv $(VENV) || { echo "On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  $(addprefix -e ,$(PACKAGES))
	@touch $(READY)

.PHONY: dev
dev: $(READY) ## run the whole platform on this machine; Ctrl-C stops it
	@exec $(BIN)/zlh-api dev

.PHONY: demo
demo: $(READY) ## a tour through the public API, while `make dev` runs in another terminal
	@exec $(BIN)/python deploy/demo/demo.py

# Tests wait half of their time, so two workers keep one processor busy, and more would only be in each other's way.
WORKERS ?= $(shell expr 2 \* $$(nproc))

.PHONY: test
test: $(READY) ## all tests; what needs root or a system package is skipped with its reason
	@$(BIN)/python -m pytest -n $(WORKERS) --durations=10

.PHONY: check
check: $(READY) ## lint, types and structure: under a minute
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy packages/zlh_common/src packages/zlh_agent/src packages/zlh_api/src tests deploy/demo deploy/agent deploy/container deploy/release deploy/control deploy/install.py
	@$(BIN)/python -m pytest -q tests/architecture

.PHONY: portal-check
portal-check: portal ## types, lint and tests of the portal
	@cd packages/zlh_portal && npm run --silent check

.PHONY: bench
bench: $(READY) ## measure, side by side with peers; writes bench-results/
	@$(BIN)/python tests/bench/run.py

.PHONY: agent-bundle
agent-bundle: $(READY) ## build the agent for all Pythons that containers have, into FOLDER
	@$(BIN)/python deploy/agent/build_bundle.py $(or $(FOLDER),$(error set FOLDER=/where/it/goes))

.PHONY: template
template: $(READY) ## build the container template, agent included, as FOLDER (root; OPTIONS for a driver)
	@$(BIN)/python deploy/container/build_template.py $(or $(FOLDER),$(error set FOLDER=/where/it/goes)) $(OPTIONS)

.PHONY: release
release: portal ## build a release into dist/<version>, signed with SIGN=key; its templates too where root runs it
	@PYTHONPATH=deploy/agent $(BIN)/python deploy/release/build_release.py $(or $(DIST),dist) $(addprefix --sign ,$(SIGN))

.PHONY: version
version: ## print the product's version, or write another everywhere: make version V=1.2.3
	@$(PYTHON) deploy/release/versions.py $(V)

.PHONY: portal
portal: $(READY) ## build the portal (make dev does it by itself)
	@$(BIN)/zlh-api portal

.PHONY: client
client: $(READY) ## write the portal's typed client from the API's own OpenAPI document
	@$(BIN)/zlh-api openapi > packages/zlh_portal/openapi.json
	@cd packages/zlh_portal && npm run --silent generate

.PHONY: lock
lock: $(READY) ## pin requirements.in anew, with hashes
	@$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url \
	  --no-emit-trusted-host --no-emit-find-links --no-emit-options --no-header -o requirements.lock requirements.in

.PHONY: clean
clean: ## remove what was built; the state in .zlh stays
	@rm -rf $(VENV) packages/zlh_portal/node_modules packages/zlh_api/src/zlh_api/web/portal \
	  .mypy_cache .ruff_cache .pytest_cache bench-results
