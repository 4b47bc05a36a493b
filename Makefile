# What a person types; CI types the same.  Needs only Python 3.11 or newer, git and make.
# More arguments for a command go into ARGS:  make lab ARGS="--port 8889"

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BROWSER := $(VENV)/.installed-browser
ARGS ?=
# Two at a time, each with servers of its own: most tests wait.
WORKERS ?= 2
PYTEST := $(BIN)/pytest --nbval -n $(WORKERS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help lab test test-all notebooks bench settings check clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

lab: $(INSTALLED)  ## JupyterLab on the notebooks, with a real Redis and a real MongoDB behind them
	@$(BIN)/eventlab lab $(ARGS)

test: $(INSTALLED)  ## all tests, every cell of every notebook among them
	@$(PYTEST) $(ARGS)

test-all: $(BROWSER)  ## the same, and the tests that need root, a browser (Chromium), or minutes of killing
	@$(PYTEST) --all $(ARGS)

notebooks: $(INSTALLED)  ## run the notebooks again and write what they print into them (ARGS="01 03": only these)
	@$(BIN)/python -m tools.notebooks $(ARGS)

bench: $(INSTALLED)  ## speed, side by side with the raw limit
	@$(BIN)/python -m benchmarks $(ARGS)

settings: $(INSTALLED)  ## write the table of environment variables into the README
	@$(BIN)/python -m tools.settings_table

check: $(INSTALLED)  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy tools

clean:  ## remove .venv and the tools' caches (your data stays: see eventlab doctor)
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("eventlab needs Python 3.11 or newer, this is %d.%d; say for example: make PYTHON=python3.12" % sys.version_info[:2])'
	@echo "Installing into $(VENV): one or two minutes, this time only."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(BROWSER): requirements-browser.txt $(INSTALLED)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-browser.txt
	@touch $@
