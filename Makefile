# The only commands to remember: make demo, make test, make check, make bench, make fuzz, make mutants, make docs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip
PYTEST := $(BIN)/python -m pytest -n auto

# Many tests start other processes: without compiled files, each of those would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check bench fuzz mutants docs clean

demo: .venv/installed  ## train on the bundled data set and say where the report is
	$(BIN)/crossent demo

test: .venv/installed-dev  ## the fast tests
	$(PYTEST)

check: .venv/installed-dev  ## format, lint, types, layers and all tests, the slow ones too
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -m "slow or not slow"

bench: .venv/installed-dev  ## every benchmark; each prints its table
	@for name in losses linear_losses softmax_regression text trees tables large_table calibration imbalance prediction_sets prior mixup \
		soft_targets learning_rate loop threads processes diagnose; do \
		echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

fuzz: .venv/installed-dev  ## the long campaigns against damaged and hostile input, kills and full disks; hours
	@for name in fuzz_losses fuzz_models fuzz_runs fuzz_tables fuzz_forks fuzz_commands kills; do \
		echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

mutants: .venv/installed-dev  ## plant small faults, one at a time, and see whether the fast tests notice; a quarter of an hour
	$(BIN)/python benchmarks/mutants.py

docs: .venv/installed-dev  ## the API pages, in build/docs
	$(BIN)/pdoc crossent -o build/docs --docformat numpy

clean:
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/installed: pyproject.toml constraints.txt CMakeLists.txt $(wildcard src/crossent/kernels/*.cpp src/crossent/kernels/*.h)
	$(PYTHON) -m venv .venv
	$(PIP) install --quiet --upgrade "pip>=25.1"
	$(PIP) install --constraint constraints.txt --editable .
	@$(BIN)/python -c "from crossent.kernels import info; i = info(); print('kernels:', i.path or i.reason)"
	@touch $@

.venv/installed-dev: .venv/installed
	$(PIP) install --quiet --constraint constraints.txt --group dev
	@touch $@
