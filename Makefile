# Each target does its own set-up in .venv: with uv where it is there, else with plain pip.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
# More workers than cores pay, because the tests wait for the emulator half of the time.
WORKERS ?= 4
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(OPTIONS)

.PHONY: demo test unit_tests integration_tests lint format typing test-all docs bench chaos chaos_postgres chaos_fleet clean

demo: $(VENV)/.demo
	$(BIN)/nebula-video demo

test: $(VENV)/.dev
	$(PYTEST)

# They compute more than they wait, and each worker takes seconds to import everything.
unit_tests: WORKERS = 3
unit_tests: $(VENV)/.dev
	$(PYTEST) tests/unit_tests

integration_tests: $(VENV)/.dev
	$(PYTEST) tests/integration_tests

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The suite on every supported Python that is found here.
test-all:
	sh scripts/test-all

# The site, in build/site: strict, and every link within it is followed. Zensical has an environment of its own.
DOCS = .venvs/docs
docs: $(DOCS)/.docs
	$(DOCS)/bin/python scripts/docs_site.py stage
	$(DOCS)/bin/zensical build --clean --strict
	$(DOCS)/bin/python scripts/docs_site.py check

# What this package costs, beside the clients of other vendors in environments of their own below .venvs. It takes
# half an hour, and some minutes with QUICK=1; it writes benchmarks/results and docs/benchmarks.md.
bench: $(VENV)/.dev
	$(BIN)/python benchmarks/run.py $(if $(QUICK),--quick)

# The long runs: some ten minutes each on two cores. The second one needs PostgreSQL's programs and pgbouncer.
# PART=storm runs one part only; see tests/chaos/run.py.
PARTS = $(if $(PART),--part $(PART))
chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos --generations 5000 --kills 200 --seed 1 $(PARTS)

chaos_postgres: $(VENV)/.dev
	$(BIN)/python -m tests.chaos --generations 2000 --kills 80 --seed 2 --postgres $(PARTS)

# Workers that are killed, drained and frozen; a PostgreSQL that crashes and goes away. RUN holds more options.
chaos_fleet: $(VENV)/.dev
	$(BIN)/python -m tests.chaos.fleet --videos 5000 --seed 1 $(RUN)

clean:
	rm -rf .venv .venvs .cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.demo: pyproject.toml
	PYTHON="$(PYTHON)" sh scripts/setup "$(VENV)" agents
	touch $@

$(VENV)/.dev: pyproject.toml
	PYTHON="$(PYTHON)" sh scripts/setup "$(VENV)" dev
	touch $@

$(DOCS)/.docs: pyproject.toml
	PYTHON="$(PYTHON)" sh scripts/setup "$(DOCS)" docs
	touch $@
