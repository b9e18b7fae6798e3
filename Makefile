PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup repro summary ablation lint test test-full pages docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

setup: $(READY) ## create .venv and install what the project needs

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; say make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' constraints.txt)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

repro: $(READY) ## run the pipeline (dvc repro) and show the iterations
	dvc repro
	ilt summary --languages

summary: $(READY) ## show the iterations again
	ilt summary --languages

ablation: $(READY) ## ILT against its control arms (hours, goes on after a stop; MANIFEST=... adds people's speech)
	ilt ablate $(if $(MANIFEST),--manifest $(MANIFEST))

lint: $(READY) ## ruff and mypy
	ruff check .
	ruff format --check .
	mypy

test: lint ## lint, types and tests
	pytest -n 2 --dist loadfile --no-loadscope-reorder

test-full: $(READY) ## what takes minutes: families x stages, the course, exported forms (ILT_HUMAN_DIGITS: its manifest)
	pytest -m full

pages: $(READY) ## write again what pages take from elsewhere: parameters, tables of evidence, blocks of the READMEs
	python docs/build/parameters.py
	python docs/build/tables.py
	python docs/build/readme.py

docs: $(READY) ## build the documentation, the course and the API reference as a site in site/ (open site/index.html)
	NO_MKDOCS_2_WARNING=1 mkdocs build

clean: ## remove the environment and all caches that can be made again
	rm -rf $(VENV) .ilt .pytest_cache .mypy_cache .ruff_cache site
