# Two commands do everything on a fresh machine: `make demo` and `make test`. Each target sets up
# what it needs.
PYTHON ?= $(shell command -v python3.12 || command -v python3)
BIN := .venv/bin
PROFILE ?= full
OUTPUT ?= runs/demo
# What `make mutate` runs: pure files or folders of them, and the minutes for each.
FILES ?=
MINUTES ?= 10
# A Python that may not write bytecode would compile torch and Spark anew at every start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup java demo rounds test test-jvm test-slow test-gpu mutate notebook \
	docs dist lint format clean fuzz coverage

# A line per test file with its share of the whole, and the ten slowest tests at the end.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --durations=10

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.done  ## check the machine, install the lock (2-5 minutes, 8 GB)

.venv/.done: requirements.lock setup.py scripts/check_machine.sh
	@scripts/check_machine.sh $(PYTHON)
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet uv==0.13.9
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --compile-bytecode --require-hashes -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation -e .
	$(BIN)/python -m seedbed.kernels.precompile
	@touch $@

java: setup  ## what spark.engine=spark needs: a Java runtime, where there is none, and the Delta jars
	scripts/install_java.sh
	$(BIN)/python scripts/fetch_jars.py

demo: setup  ## the whole line on real code, from archives to a report (PROFILE=small: a short one)
	$(BIN)/python -m demo --config conf/demo/$(PROFILE).yaml output=$(OUTPUT)

test: setup  ## the default tests, with progress and the ten slowest
	$(PYTEST) -m "not slow and not gpu"

test-jvm: setup  ## the tests of the jobs' runtime and of near dedup on Spark's JVM (make java)
	SEEDBED_TEST_ENGINE=spark $(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow and not long_on_jvm" tests/spark_jobs/runtime tests/spark_jobs/near_dup tests/spark_jobs/test_find_near_pairs.py

test-slow: setup  ## the slow tests: kills, clusters, vLLM, layouts
	$(PYTEST) -m slow

rounds: setup  ## two rounds of self-scoring in runs/rounds (PROFILE=small: short ones)
	$(BIN)/python -m demo.rounds --config conf/demo/$(PROFILE).yaml output=runs/rounds

test-gpu:  ## what only a GPU shows: NCCL, bf16 and FP8 against the CPU's figures (docs/install.md)
	python -m pytest -m gpu -q

SECONDS ?= 60
fuzz: setup  ## hostile bytes at every boundary for SECONDS=60 (docs/testing.md)
	nice -n 10 $(BIN)/python -m tests.fuzz $(SECONDS)

# TESTS: what runs, all of it by default.
TESTS ?= tests
coverage: setup  ## branch coverage of default and slow tests together, per package (docs/coverage.md)
	$(BIN)/coverage erase
	-$(BIN)/coverage run -m pytest -q -n auto --maxprocesses 4 --dist loadfile -m "not gpu" $(TESTS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage json -q -o build/coverage.json
	$(BIN)/python -m scripts.coverage_page build/coverage.json

mutate: setup  ## small faults in pure files: does a test notice? (FILES="a.py folder" MINUTES=10)
	$(BIN)/python -m scripts.mutation --minutes $(MINUTES) $(FILES)

notebook: setup  ## run the notebook on the tables of SEEDBED_OUTPUT (default runs/demo)
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=600 notebooks -q

docs: setup  ## the documentation site in build/site; a dead link is an error
	$(BIN)/python scripts/draw_figures.py --check
	$(BIN)/mkdocs build --strict

dist: setup  ## for a cluster: the wheel, and a Python with all that executors need (400 MB)
	$(BIN)/python -m scripts.make_dist

lint: setup  ## ruff on everything, mypy on conf, the kernels and the RL objective
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup  ## rewrite the sources in the house format
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

clean:  ## remove what runs and tests left, but not .venv or downloads
	rm -rf runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache spark-warehouse
