# Thin: each target says in one line what it does, and `make help` lists them.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
BUILD_SITE := $(BIN)/jupyter-book build . -W -n --keep-going --all
PAGES := _config.yml _toc.yml $(shell find book notebooks -type f -not -path '*/.*' -not -path '*/__pycache__/*')

.DEFAULT_GOAL := help
.PHONY: help setup book serve lab test lint assets studies bench test-claims lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: .venv/.stamp ## create .venv and install the locked packages into it

.venv/.stamp: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "The book needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is \"$$($(PYTHON) -V 2>&1)\". Name another one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	@echo "Installing the locked packages into .venv: some 7 GB, a few minutes ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

ifneq ($(EXECUTE),1)
book: _build/.stamp ## build the site into _build/html; EXECUTE=1 runs every notebook on this machine first
	@echo "The site is at file://$(CURDIR)/_build/html/index.html  (or run: make serve)"
else
book: export OMP_NUM_THREADS ?= 2
book: setup assets
	@mkdir -p _build/execute && rm -rf _build/html _build/.stamp
	sed -e 's|execute_notebooks: "off"|execute_notebooks: "force"|' -e 's|: book/_ext|: $(CURDIR)/book/_ext|' \
	  _config.yml > _build/execute/_config.yml
	$(BUILD_SITE) --config _build/execute/_config.yml
	@echo "The site, with results from this machine, is at file://$(CURDIR)/_build/html/index.html  (or run: make serve)"
endif

_build/.stamp: .venv/.stamp $(PAGES)
	@rm -rf _build/html
	$(BUILD_SITE)
	@touch $@

serve: ## show the site on 127.0.0.1 (PORT=8000), building it if there is none
	@test -f _build/html/index.html || $(MAKE) book
	@echo "The site is at http://127.0.0.1:$(PORT)  (stop with Ctrl-C)"
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

lab: setup assets ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=.

test: export OMP_NUM_THREADS = 1
test: setup assets ## check everything: the package, the notebooks, the site
	$(BIN)/python -m pytest -n 2 --dist loadscope --nbval-lax tests notebooks

test-claims: export OMP_NUM_THREADS = 1
test-claims: setup assets ## check for every chapter that its claims fail when its experiment is broken
	$(BIN)/python -m pytest tests/test_sabotage.py --all-chapters

lint: setup ## check the style of the code, notebooks included
	$(BIN)/ruff check .

assets: setup ## fetch the data sets and the pretrained models that are missing
	$(BIN)/python -m transferbook assets

studies: setup assets ## run what is missing of the recorded studies
	@for study in studies/[a-z]*.py; do $(BIN)/python -m transferbook study $$(basename $$study .py) || exit 1; done

bench: setup assets ## measure the book's code against its alternatives
	$(BIN)/python -m benchmarks

lock: ## compile requirements.in into requirements.txt, with every hash
	@test -x _build/uv/bin/uv || { $(PYTHON) -m venv _build/uv && _build/uv/bin/python -m pip install --quiet uv; }
	@index="$${PIP_INDEX_URL:-$$(_build/uv/bin/python -m pip config get global.index-url 2>/dev/null)}"; \
	  _build/uv/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header \
	    $${index:+--default-index "$$index"} requirements.in -o requirements.txt

clean: ## remove what was built; .venv and the fetched assets stay
	rm -rf _build .pytest_cache .ruff_cache
