# Thin: each target says in one line what it does, and `make help` lists them.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
BUILD_SITE := $(BIN)/jupyter-book build . -W -n --keep-going --all
PAGES := _config.yml _toc.yml $(shell find book notebooks -type f -not -path '*/.*' -not -path '*/__pycache__/*')

.DEFAULT_GOAL := help
.PHONY: help setup book serve lab test check lint assets studies coursework slides wheelhouse bench bench-peers gpu test-claims test-browser test-full test-device test-versions hardship lock licences audit clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 22

# A folder that `make wheelhouse` filled, to install from instead of the network.
ifneq ($(WHEELHOUSE),)
export PIP_NO_INDEX := 1
export PIP_FIND_LINKS := $(abspath $(WHEELHOUSE))
export TRANSFERBOOK_WHEELHOUSE := $(abspath $(WHEELHOUSE))
endif

define PRESENT
@$(PYTHON) -c "" 2>/dev/null || { echo "There is no $(PYTHON) here, and the book needs Python 3.11, 3.12 or 3.13;" \
  "name it: make $(MAKECMDGOALS) PYTHON=python3.12." >&2; exit 1; }
endef
define READY
$(PRESENT)
@$(PYTHON) .ci/ready.py python "$(MAKECMDGOALS)"
endef
define UV
@test -x _build/uv/bin/uv || { $(PYTHON) -m venv _build/uv && _build/uv/bin/python -m pip install --quiet uv; }
endef

setup: .venv/.stamp ## create .venv and install everything into it (on Linux 7 GB)

# What the site needs, which is little; and the rest on top of it.
.venv/.site: requirements-site.txt
	$(READY)
	$(PYTHON) -m venv .venv
	@echo "Installing what the site needs into .venv: some 300 MB ..."
	$(PIP) --no-compile --require-hashes -r requirements-site.txt
	@touch $@

.venv/.stamp: .venv/.site requirements.txt pyproject.toml
	@echo "Installing everything else into .venv: on Linux some 6.5 GB more, a few minutes ..."
	$(PIP) --require-hashes -r requirements.txt
	$(PIP) --no-build-isolation -e .
	@touch $@

ifneq ($(EXECUTE),1)
book: _build/.stamp ## build the site into _build/html; EXECUTE=1 runs every notebook on this machine first
else
book: export BOOK_EXECUTE = 1
book: export OMP_NUM_THREADS ?= 2
book: setup assets
	@rm -rf _build/html _build/.stamp
	$(BUILD_SITE)
endif
	@$(BIN)/python -c 'from pathlib import Path; print("The site is at", Path("_build/html/index.html").resolve().as_uri())'
	@echo "(or run: make serve)"

_build/.stamp: .venv/.site $(PAGES)
	@rm -rf _build/html
	$(BUILD_SITE)
	@touch $@

serve: ## show the site on 127.0.0.1 (PORT=8000), building it if there is none
	$(if $(wildcard $(BIN)/python),,$(PRESENT))
	@$(or $(wildcard $(BIN)/python),$(PYTHON)) .ci/ready.py port "$(PORT)"
	@test -f _build/html/index.html || $(MAKE) book
	@echo "The site is at http://127.0.0.1:$(PORT)  (stop with Ctrl-C)"
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

lab: setup assets ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=.

test: export OMP_NUM_THREADS = 1
test: setup assets ## check everything: the package, the notebooks, the site
	$(BIN)/python -m pytest -n 2 --dist loadscope --nbval-lax --keep-green tests notebooks

check: export OMP_NUM_THREADS = 1
check: setup assets ## check what changed since it was last green, as far as four minutes go
	$(BIN)/python -m pytest -n 2 --dist loadscope --nbval-lax --keep-green --changed=180 tests notebooks

test-claims: export OMP_NUM_THREADS = 1
test-claims: setup assets ## check for every chapter that its claims fail when its experiment is broken
	$(BIN)/python -m pytest tests/test_sabotage.py --all-chapters

test-browser: export OMP_NUM_THREADS = 1
test-browser: setup assets book ## check the page of `transferbook serve` and the slides in a browser (needs Chromium)
	$(BIN)/python -m pytest tests/browser_try_page.py tests/browser_slides.py

test-full: export OMP_NUM_THREADS = 1
test-full: setup assets ## run every chapter at scale full, without what it fetches (for hours; MINUTES=8 each)
	FULL_MINUTES=$(or $(MINUTES),8) $(BIN)/python -m pytest tests/full_scale.py

test-device: export OMP_NUM_THREADS = 1
test-device: setup assets ## run every chapter on a second device made of the CPU, to see what a GPU refuses (an hour)
	$(BIN)/python -m pytest tests/second_device.py

test-versions: ## check the package on the oldest and the newest libraries, Python 3.11 to 3.13 (ONLY=lowest-3.11)
	$(READY)
	$(UV)
	@$(PYTHON) .ci/versions.py --jobs $(or $(JOBS),2) $(ONLY)

hardship: export OMP_NUM_THREADS = 1
hardship: setup assets ## try no network, a full disk, kills at random moments and made-up data (Linux)
	$(BIN)/python -m pytest tests/hardship.py

lint: setup ## check the style of the code, notebooks included
	$(BIN)/ruff check .

assets: setup ## fetch the data sets and the pretrained models that are missing
	$(BIN)/python -m transferbook assets

studies: setup assets ## run what is missing of the recorded studies
	@for study in studies/[a-z]*.py; do $(BIN)/python -m transferbook study $$(basename $$study .py) || exit 1; done

coursework: setup ## hand out all assignments in COURSE to the students in ROSTER
	@test -n "$(COURSE)" && test -n "$(ROSTER)" || { \
	  echo "Name a folder and a table: make coursework COURSE=autumn ROSTER=class.csv." >&2; exit 1; }
	$(BIN)/python -m coursework hand-out $(COURSE) --roster $(ROSTER)

slides: book ## make slides of the chapters, or of one (CHAPTER=linear_fine_tuning), into _build/slides
	@$(BIN)/python -m coursework.slides $(CHAPTER)

wheelhouse: setup assets ## fill the folder DIR with all that `make setup assets WHEELHOUSE=DIR` needs elsewhere
	@test -n "$(DIR)" || { echo "Name a folder: make wheelhouse DIR=wheels." >&2; exit 1; }
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.txt -d $(DIR)
	@$(BIN)/python -c 'import shutil; from transferbook.data import assets; \
	  print(*{shutil.copy(path, "$(DIR)") for path in assets.fetch()}, sep="\n")'

bench: setup assets ## measure the book's code against its alternatives
	$(BIN)/python -m benchmarks

bench-peers: setup assets ## measure the seconds to a fixed accuracy, beside other libraries (half an hour)
	$(BIN)/python -m benchmarks peers

# On a machine with other Python: GPU_PYTHON=python3 make -o setup -o assets gpu
gpu: GPU_PYTHON ?= $(BIN)/python
gpu: setup assets ## run every chapter on the GPU, its claims beside the stored ones (MINUTES=10)
	$(GPU_PYTHON) -m benchmarks.gpu --minutes $(or $(MINUTES),10) --page book/cpu_and_gpu.md

lock: ## lock requirements.in and requirements-site.in, with every hash and the same versions in both
	$(READY)
	$(UV)
	@index="$${PIP_INDEX_URL:-$$(_build/uv/bin/python -m pip config get global.index-url 2>/dev/null)}"; \
	  compile() { _build/uv/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	    --no-emit-index-url --no-header $${index:+--default-index "$$index"} "$$@"; }; \
	  compile requirements.in -o requirements.txt && \
	  compile requirements-site.in -c requirements.txt -o requirements-site.txt

licences: setup ## list the licences of the locked packages in requirements-licences.md
	$(BIN)/python .ci/licences.py

audit: ## ask the package index whether a locked package has a known weakness
	$(READY)
	@test -x _build/audit/bin/pip-audit || { $(PYTHON) -m venv _build/audit && \
	  _build/audit/bin/python -m pip install --quiet pip-audit; }
	@rm -f _build/audit/report.json
	@_build/audit/bin/pip-audit --requirement requirements.txt --require-hashes --disable-pip --format json \
	  --progress-spinner off --output _build/audit/report.json; $(PYTHON) .ci/audit.py _build/audit/report.json

clean: ## remove what was built; .venv and the fetched assets stay
	rm -rf _build .pytest_cache .ruff_cache .hypothesis
