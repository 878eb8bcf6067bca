# make demo   sets up, makes its own scene, trains, renders, prints where the GIF is
# make test   sets up, checks style and types, runs the tests
# make setup  the set-up alone
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
DEMO_FLAGS := --img_wh 100 100 --near 2.4 --far 5.6 --N_samples 64 --N_importance 0 \
  --netdepth 4 --netskip 2 --netwidth 96 --N_emb_xyz 7 --noise_std 0 --lr 2e-3 \
  --lr_scheduler cosine --max_steps 3000 --val_every_steps 500 --val_rays 2500

.PHONY: setup demo test lint clean

setup: $(STAMP)

$(STAMP): requirements.txt requirements-dev.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "This needs Python 3.11 or newer; name it with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet -r requirements.txt -r requirements-dev.txt -c constraints.txt $(PIP_ARGS)
	@touch $(STAMP)

# A network small enough for a laptop: the paper's own takes a GPU, or a night.
demo: setup
	$(PY) train.py --dataset_name demo --exp_name demo $(DEMO_FLAGS)
	$(PY) eval.py --ckpt_path ckpts/demo/last.ckpt --save_depth

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test: lint
	$(PY) -m pytest

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
