# make demo   sets up, makes its own scene, trains, renders, prints where the GIF is
# make test   sets up, checks style and types, runs the tests
# make smoke  sets up, runs the quick tests, in two minutes
# make fuzz   sets up, loads damaged files for SECONDS=600
# make audit  sets up, looks for known holes in the pinned packages (asks PyPI)
# make setup  the set-up alone
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
SMOKE := tests/geometry tests/models/grids tests/models/rendering tests/evaluation tests/paths \
  tests/writing tests/docs/test_links.py tests/docs/test_package.py tests/test_architecture.py
SECONDS ?= 600
DEMO_FLAGS := --model voxels --max_time 50

.PHONY: setup demo test smoke fuzz audit lint clean

setup: $(STAMP)

$(STAMP): requirements.txt requirements-dev.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "This needs Python 3.11 or newer; name it with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet -r requirements.txt -r requirements-dev.txt -c constraints.txt $(PIP_ARGS)
	@touch $(STAMP)

# The field that trains in a minute on two cores; the paper's network takes a GPU, or a night.
demo: setup
	$(PY) train.py --dataset_name demo --exp_name demo $(DEMO_FLAGS)
	$(PY) eval.py --ckpt_path ckpts/demo/last.ckpt --save_depth

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# Two files of tests at a time: most of what they wait for has no use for two cores. Their threads
# leave the cores to one another while they wait.
test: lint
	OMP_WAIT_POLICY=PASSIVE $(PY) -m pytest -n 2 --dist loadfile

# What is quick and touches every room.
smoke: setup
	OMP_WAIT_POLICY=PASSIVE $(PY) -m pytest -n 2 --dist loadfile $(SMOKE)

fuzz: setup
	$(PY) -m tests.fuzz --seconds $(SECONDS)

# What PyPI does not tell is an error, too: a machine without a network finds nothing good.
audit: setup
	$(VENV)/bin/pip-audit --strict --progress-spinner off --no-deps --disable-pip -r constraints.txt

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
