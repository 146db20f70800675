.DEFAULT_GOAL := help
PYTHON ?= python3
PORT ?= 5000
BIN := .venv/bin
UV := $(shell command -v uv)
VENV := $(if $(UV),$(UV) venv --quiet --allow-existing --python $(PYTHON),$(PYTHON) -m venv)
PIP := $(if $(UV),$(UV) pip,$(BIN)/python -m pip --disable-pip-version-check)
SIZE := $(if $(filter cpu,$(TORCH)),about 1 GB on disk,some 3 GB to fetch and 7 GB on disk; for the CPU alone make TORCH=cpu takes 1 GB)
SHELL := /bin/bash
export SHELL # DVC runs the stages in this shell, whatever the login shell is
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name one with make PYTHON=python3.11")'
	@git rev-parse --git-dir > /dev/null 2>&1 || { echo "DVC needs a git repository: run git init first"; exit 1; }
	@test "$(TORCH)" != cpu -o -n "$(UV)" || { echo "TORCH=cpu needs uv: https://docs.astral.sh/uv"; exit 1; }
	@echo "Installing the pinned packages in .venv, once: $(SIZE)"
	$(VENV) .venv
ifeq ($(TORCH),cpu)
	awk '/^[^ ]/ { left_out = /^(torch|torchvision|triton|nvidia-|cuda-)/ } !left_out' requirements.lock > .venv/without-torch.txt
	$(PIP) install --no-deps --requirement .venv/without-torch.txt
	$(PIP) install --no-deps --torch-backend cpu $$(grep -Eo '^torch(vision)?==[^ ]+' requirements.lock)
else
	$(PIP) install --requirement requirements.lock
endif
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

repro: .venv/.installed ## run the pipeline on real data and print the results
	dvc repro
	mnist-pipeline results
	mnist-pipeline sync --if-changed

pull: .venv/.installed ## bring the published models and reports of this commit, and their runs, without training
	dvc pull --allow-missing --remote published
	mnist-pipeline results
	mnist-pipeline sync --if-changed

publish: .venv/.installed ## put what this dvc.lock records, but for the images, into published/ for everybody's make pull
	dvc push --remote published data/classes.json validate train evaluate compare export card

TUTORIAL := architecture.activation=relu epochs=5 batch_size=64 precision=float32 optimizer=sgd learning_rate=0.001 \
	momentum=0 weight_decay=0 schedule=constant warmup=0 label_smoothing=0 ema_decay=0 augmentation.rotation=0 \
	augmentation.scale=0 augmentation.shear=0 augmentation.translation=0 augmentation.elastic=0 \
	augmentation.final_strength=1

tutorial: .venv/.installed ## train with the recipe of PyTorch's tutorial, as the DVC experiment "tutorial"
	@dvc exp remove --quiet tutorial 2>/dev/null || true
	@dvc exp run --temp --name tutorial \
		$(foreach model,lenet mlp,$(foreach value,$(TUTORIAL),--set-param train.$(model).$(value)))
	dvc metrics diff --targets reports/evaluate/lenet/metrics.json reports/evaluate/mlp/metrics.json -- HEAD tutorial

test: .venv/.installed ## run the test suite, and show what of src/ it covers
	python -m pytest --cov --cov-report=term --cov-fail-under=90

system: .venv/.installed ## test the commands of the documentation, many processes, and real servers: PostgreSQL, S3, SSH
	python -m pytest --numprocesses=3 tests/system # which mostly wait

browser: .venv/.installed ## look at MLflow's pages with chromium (another: BROWSER=its path)
	python -m pytest --numprocesses=0 tests/browser

behaviour: .venv/.installed ## test how the trained models of models/ behave, after make repro
	python -m pytest --numprocesses=0 tests/trained

bench: .venv/.installed ## measure speed and memory beside other loops, and what failures of MLflow cost, into benchmarks/measured
	python benchmarks/speed.py
	python benchmarks/images.py
	PYTHONPATH=tests python benchmarks/tracking_failures.py 2>/dev/null

check: .venv/.installed ## lint, types, import rules
	ruff check
	ruff format --check
	mypy
	lint-imports --no-cache

format: .venv/.installed ## format the code and fix what ruff can
	ruff check --fix
	ruff format

ui: .venv/.installed ## serve the MLflow pages on http://127.0.0.1:5000 (another: PORT=5001)
	mnist-pipeline ui --port $(PORT)

PIN := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock"

lock: .venv/.installed ## pin every dependency again in requirements.lock, and those of the server's image
	$(PIN) --all-extras --group dev --output-file requirements.lock pyproject.toml
	$(PIN) --constraint requirements.lock --output-file deploy/requirements.lock deploy/requirements.in

clean: ## remove the environment and caches; data, models, reports and mlruns stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .cache/download .cache/data_docs build src/*.egg-info
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help repro pull publish tutorial test system browser behaviour bench check format ui lock clean
