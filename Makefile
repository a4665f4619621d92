# Everything runs in .venv, which is made from pyproject.toml when it is missing or older.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
LOWEST := .venv-lowest/bin
PYTEST_FLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-lowest lint format docs catalog seal soak bench build clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/installed ## Make .venv with memstore, its extras and the tools of development

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[cli,embedded]' --group dev
	touch $@

.venv-lowest/installed: pyproject.toml tests/lowest.txt
	$(PYTHON) -m venv .venv-lowest
	$(LOWEST)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(LOWEST)/python -m pip install --quiet --editable '.[cli,embedded]' --group test --constraint tests/lowest.txt
	touch $@

demo: .venv/installed ## Migrate an embedded PostgreSQL, import the sample corpus, ask it three questions
	$(BIN)/python examples/demo.py

test: .venv/installed ## Run the tests, on the newest PostgreSQL, and what is about PostgreSQL on every one of the wheel
	$(BIN)/pytest -m 'not soak' --numprocesses 4 $(PYTEST_FLAGS)

test-lowest: .venv-lowest/installed ## Run the tests on the lowest versions of everything
	$(LOWEST)/pytest -m 'not soak' --majors 16 --milvus lite --numprocesses 2 $(PYTEST_FLAGS)

lint: .venv/installed ## Check style, types, and that the picture of the schema is up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/draw_schema.py --check

format: .venv/installed ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/installed ## Draw the schema in docs/schema.md
	$(BIN)/python docs/draw_schema.py

catalog: .venv/installed ## Describe in alembic/catalog/ what each revision does to the schema
	$(BIN)/python -m memstore.migrations.catalog

seal: .venv/installed ## Append the revisions that are released to alembic/versions.sum
	$(BIN)/python -m memstore.migrations.sums

soak: .venv/installed ## Run the long trials: kills and races at full count
	$(BIN)/pytest -m soak --numprocesses 2 $(PYTEST_FLAGS)

bench: .venv/installed ## Run the benchmarks
	$(BIN)/python benchmarks/import_corpus.py
	$(BIN)/python benchmarks/import_time.py
	$(BIN)/python benchmarks/check_time.py
	$(BIN)/python benchmarks/schema.py
	$(BIN)/python -m benchmarks.migrate_under_load
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m benchmarks.vectors
	$(BIN)/python -m benchmarks.retrieval
	$(BIN)/python -m benchmarks.tenant_sweep --plot docs/tenant_sweep.svg
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.milvus
	$(BIN)/python -m benchmarks.growth --plot docs/growth.svg

build: .venv/installed ## Build the wheel and the source distribution into dist/, of sealed revisions
	$(BIN)/python -m memstore.migrations.sums --check
	$(BIN)/python -m hatchling build

clean: ## Remove what make made: environments, builds and the demo's database
	rm -rf .venv .venv-lowest .memstore dist
