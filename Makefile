# Three commands: `make demo` shows the main job on synthetic data, `make test` passes the quick tests,
# `make test-full` the others.
# Any CPython ≥ 3.13 will do; PYTHON names one where the search below does not find it.
PYTHON ?= $(shell for p in python3.13 python3.14 python3 "$$HOME/.pyenv/versions/"3.1[3-9]*/bin/python; do \
	if "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 13))' >/dev/null 2>&1; then echo "$$p"; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Tests run side by side on tables of a few rows: threads within them cost more than they save.
PYTEST := POLARS_MAX_THREADS=1 $(BIN)/pytest --numprocesses=auto --dist=worksteal
# The tests' BigQuery emulator needs an older DuckDB than the product: it has an environment of its own.
EMULATOR := .venv-emulator
EMULATOR_READY := $(EMULATOR)/.ready
# Google's SQL analyzer is WebAssembly, which is compiled to machine code once.
ANALYZER_READY := $(VENV)/.analyzer
# Commands and tests start Python a hundred times: modules are compiled once, not at each start.
unexport PYTHONDONTWRITEBYTECODE
BROWSERS := chromium chromium-browser google-chrome google-chrome-stable

.PHONY: demo test quick test-full fuzz soak lint browser ui dictionary bench bigquery-acceptance clean
.DEFAULT_GOAL := demo

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No CPython 3.13 or newer found: install one, or run make PYTHON=/path/to/python" >&2; exit 2; }
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

$(EMULATOR_READY): requirements-emulator.txt
	@test -n "$(PYTHON)" || { echo "No CPython 3.13 or newer found: install one, or run make PYTHON=/path/to/python" >&2; exit 2; }
	"$(PYTHON)" -m venv $(EMULATOR)
	$(EMULATOR)/bin/pip install --quiet --disable-pip-version-check --requirement requirements-emulator.txt
	@touch $(EMULATOR_READY)

$(ANALYZER_READY): $(READY)
	$(BIN)/python -m cbi_assets_tests.googlesql.engine
	@touch $(ANALYZER_READY)

demo: $(READY)
	$(BIN)/cbi demo

# The quick tests, which run every command and every SQL file on both warehouses, beside the linters
test: $(READY) $(ANALYZER_READY) $(EMULATOR_READY) browser
	@$(MAKE) --no-print-directory --jobs=2 lint quick

quick:
	$(PYTEST) --every-sql -m "not full"

# The rest: whole repeats on BigQuery's emulator, kills at every moment, fuzz
test-full: $(READY) $(ANALYZER_READY) $(EMULATOR_READY) browser
	$(PYTEST) -m full

# Loads mutated files: SEED=2 mutates others, COUNT=2000 more, PART=2/8 an eighth, CASE='its name' repeats one
fuzz: $(READY)
	PYTHONWARNINGS=ignore $(BIN)/python -m cbi_assets_tests.fuzz $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT)) \
		$(if $(PART),--part $(PART)) $(if $(CASE),--case '$(CASE)')

# Simulates a year of mornings without a person: SEED=2 brings other troubles, MORNINGS=40 fewer.
# make test-full lives through its four quarters and one morning more.
soak: $(READY)
	PYTHONWARNINGS=ignore POLARS_MAX_THREADS=1 $(BIN)/python -m cbi_assets_tests.soak $(if $(SEED),--seed $(SEED)) \
		$(if $(MORNINGS),--mornings $(MORNINGS))

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A Chromium for the tests that look at pages: the machine's own, Debian's, or Playwright's.
browser: $(READY)
	@for name in $(BROWSERS); do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		(apt-get update && apt-get install --yes --no-install-recommends chromium fonts-dejavu-core) >/dev/null; \
	else $(BIN)/playwright install chromium; fi || \
	{ echo "No Chromium found or installed: put chromium or google-chrome on the PATH" >&2; exit 2; }

ui: $(READY)
	$(BIN)/cbi ui

# docs/data-dictionary.md, from the tables' specs, and docs/features.md, from features.yaml
dictionary: $(READY)
	$(BIN)/python -m cbi_assets.tables.dictionary > docs/data-dictionary.part
	mv docs/data-dictionary.part docs/data-dictionary.md
	$(BIN)/python -m cbi_assets.tables.feature_page docs/data/feature-coverage.csv > docs/features.part
	mv docs/features.part docs/features.md

bench: $(READY)
	$(BIN)/python benchmarks/load.py
	PYTHONPATH=. $(BIN)/python benchmarks/bigquery.py
	$(BIN)/python benchmarks/matrix.py --stages

# Runs the tests marked both_warehouses on a real, empty project: CBI_ACCEPTANCE_PROJECT=… make …
bigquery-acceptance: $(READY) $(EMULATOR_READY)
	@$(BIN)/python -m cbi_assets_tests.bigquery.acceptance

clean:
	rm -rf $(VENV) $(EMULATOR) .cbi-demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
