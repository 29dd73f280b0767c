# make report   set up, run the sleepstudy and say where its report is
# make test     set up and run every test
# make lab      JupyterLab on the notebooks
# make check    ruff and pyright
# make bench    the benchmarks, peers included: docs/benchmarks.md
# make lock     renew the locks (needs uv)
# make clean    remove what was made, the runs under reports/ excepted

PYTHON ?= python3
STUDY  ?= params/sleepstudy.yaml

VENV := .venv
BIN  := $(VENV)/bin
# What is installed has a stamp each, written only when all went well: the locked packages that run studies, the
# project itself, and the packages of each group beyond them.
LOCKED    := $(VENV)/.locked
INSTALLED := $(VENV)/.installed
GROUP     := $(VENV)/.group-

# A virtual environment knows its own path: one that was moved, or whose Python is gone, is made again.
$(shell test -x $(BIN)/python && grep -qsF '$(CURDIR)/$(VENV)' $(BIN)/activate || rm -f $(LOCKED))

# Kernels, test workers and fits are processes of their own: one thread each.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

# A command, its kernels and its workers each load the same modules: compiled once, not by every one of them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: report test lab check bench lock clean

report: $(INSTALLED)
	@$(BIN)/lmmkit run $(STUDY)

# Three workers for two cores: of two, one often waits for a process that it has started.
test: $(INSTALLED) $(GROUP)test
	@$(BIN)/python -m pytest -n 3 --dist worksteal $(PYTEST_ARGS)

lab: $(INSTALLED) $(GROUP)lab
	@$(BIN)/lmmkit lab

check: $(INSTALLED) $(GROUP)dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(INSTALLED)
	@$(BIN)/python benchmarks/run.py

lock:
	@.ci/lock --upgrade

clean:
	@rm -rf $(VENV) benchmarks/.peers benchmarks/.data .pytest_cache .ruff_cache .hypothesis build dist
	@find . -name __pycache__ -prune -exec rm -rf {} +

$(LOCKED): requirements.lock
	@echo "Setting up $(VENV) from requirements.lock ..."
	@rm -rf $(VENV)
	@.ci/venv $(PYTHON) $(VENV)
	@touch $@

$(INSTALLED): $(LOCKED) pyproject.toml
	@.ci/install $(VENV) --no-deps --no-build-isolation -e .
	@touch $@

$(GROUP)%: requirements-%.lock $(LOCKED) | $(INSTALLED)
	@echo "Adding the packages of $< ..."
	@.ci/install $(VENV) --require-hashes -r requirements.lock -r $<
	@touch $@
