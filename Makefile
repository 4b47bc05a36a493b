# The commands that you run; CI runs the same.  Needs only Python 3.11 or newer, git and make.
# More arguments for a command go into ARGS:  make lab ARGS="--port 8889"

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
INSTALLED := $(VENV)/.installed
BROWSER := $(VENV)/.installed-browser
SPHINX := $(VENV)/.installed-docs
ARGS ?=
# Three at a time even on two cores, each with servers of its own: most tests wait.
WORKERS ?= 3
PYTEST := $(BIN)/pytest --nbval -n $(WORKERS) --dist loadfile --no-loadscope-reorder

LOCK_OPTIONS := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help lab test test-all notebooks docs bench settings lock check clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

lab: $(INSTALLED)  ## JupyterLab on a copy of the notebooks, with a real Redis and a real MongoDB behind them
	@$(BIN)/eventlab lab $(ARGS)

test: $(INSTALLED)  ## all but the slow tests, and every cell of every notebook
	@$(PYTEST) $(ARGS)

test-all: $(BROWSER)  ## the same, and the tests that need root, a browser (Chromium), or several minutes
	@$(PYTEST) --all $(ARGS)

notebooks: $(INSTALLED)  ## run the notebooks and store their outputs (ARGS="01 03": only these)
	@$(BIN)/python -m tools.notebooks $(ARGS)

docs: $(SPHINX)  ## build the website (build/site): the course, guides, API reference
	@$(BIN)/python -m tools.website $(ARGS)

bench: $(INSTALLED)  ## compare the speed with that of bare Redis and MongoDB commands
	@$(BIN)/python -m benchmarks $(ARGS)

settings: $(INSTALLED)  ## write the table of environment variables into the README
	@$(BIN)/python -m tools.settings_table

check: $(INSTALLED)  ## ruff, mypy, and the workflow files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy tools
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	@if command -v actionlint >/dev/null; then actionlint; fi

clean:  ## remove .venv and the tools' caches (your data stays: see eventlab doctor)
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

lock:  ## refresh the lock files after a change of requirements*.txt (needs uv; ARGS=--upgrade for the newest versions)
	@uv pip compile $(LOCK_OPTIONS) requirements.txt --output-file requirements.lock $(ARGS)
	@uv pip compile $(LOCK_OPTIONS) requirements-browser.txt --constraints requirements.lock --output-file requirements-browser.lock $(ARGS)
	@uv pip compile $(LOCK_OPTIONS) requirements-docs.txt --constraints requirements.lock --output-file requirements-docs.lock $(ARGS)
	@uv pip compile $(LOCK_OPTIONS) --no-deps binder/notebook.in --output-file binder/notebook.lock $(ARGS)

# The lock holds the hash of every file of every platform. The package itself is built with the
# hatchling of the lock: nothing is downloaded whose hash is not known.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("eventlab needs Python 3.11 or newer, this is %d.%d: choose another, for example make PYTHON=python3.12" % sys.version_info[:2])'
	@echo "Installing into $(VENV): one to three minutes, only this time."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(BROWSER): requirements-browser.lock $(INSTALLED)
	@$(PIP) install --require-hashes -r requirements-browser.lock
	@touch $@

$(SPHINX): requirements-docs.lock $(INSTALLED)
	@$(PIP) install --require-hashes -r requirements-docs.lock
	@touch $@
