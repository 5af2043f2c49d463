"""The model card of an adapter's folder: what the adapter is, how it was made, how well it does."""

import json
import os
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from denselora.files import write_text
from denselora.models import is_hub_id
from denselora.results.command import training_options
from denselora.results.record import Record
from denselora.training.run_folder import Trained
from denselora.typeset import markdown, markdown_row

CARD = "README.md"

# method -> what it computes for a layer's input x beside the frozen W0
EQUATIONS = {
    "denselora": "y = W0 x + (α / r) · f(D M g(E x))",
    "lora": "y = W0 x + (α / r) · B A x",
    "dora": "y = m · (W0 + (α / r) B A) x / ‖W0 + (α / r) B A‖, the norm of each row",
    "vera": "y = W0 x + b ⊙ (B (d ⊙ (A x))), with A and B drawn once and frozen",
    "lokr": "y = W0 x + (α / r) · (C ⊗ B A) x",
    "adalora": "y = W0 x + (α / r) · P Λ Q x, with the ranks pruned in training",
    "full": "y = W x, with all weights trained",
}
# path of a base -> the hub's name of its licence
LICENCES = {
    "data/mini/base": "apache-2.0",
    "data/models/smollm2_135m": "apache-2.0",
    "meta-llama/Llama-2-7b-hf": "llama2",
    "meta-llama/Meta-Llama-3-8B": "llama3",
    "meta-llama/Llama-3.1-8B": "llama3.1",
    "meta-llama/Llama-3.2-1B": "llama3.2",
    "meta-llama/Llama-3.2-3B": "llama3.2",
}
CITATION = """\
@inproceedings{mu-etal-2025-denselora,
  title = {{DenseLoRA}: Dense Low-Rank Adaptation of Large Language Models},
  author = {Mu, Lin and Wang, Xiaoyu and Ni, Li and Li, Yang and Wu, Zhize and Jin, Peiquan
    and Zhang, Yiwen},
  booktitle = {Proceedings of the 63rd Annual Meeting of the Association for Computational
    Linguistics (Volume 1: Long Papers)},
  year = {2025},
  pages = {10198--10211},
  url = {https://aclanthology.org/2025.acl-long.503/},
}"""
NOT_LORA = (
    "Its update depends on the input, so it can't be merged into the base, quantised into it, or "
    "served by what only takes LoRA."
)
IS_LORA = "Without an activation it is a LoRA, too: `denselora.to_lora` writes it as one."


def write_card(folder: Path, trained: Trained) -> None:
    """Write the card of a training that has ended, as yet without results."""
    write_text(folder / CARD, model_card(trained))


def add_results(folder: Path, trained: Trained, record: Record) -> None:
    """Put the results of a whole evaluation into the card, in place of earlier ones of its kind.

    A card that somebody has edited, or that can't be written, stays as it is.
    """
    file = folder / CARD
    if record.status != "complete" or not file.is_file() or not os.access(file, os.W_OK):
        return
    try:
        text = file.read_text(encoding="utf-8")
        before = ModelCard(text).data.eval_results or []
    except (ValueError, TypeError, KeyError, yaml.YAMLError):  # its metadata are no longer ours
        return
    if text != model_card(trained, before):
        return
    new = results_of(record, trained)
    kinds = {(one.metric_name, one.dataset_type, one.dataset_name) for one in new}
    kept = [
        one for one in before if (one.metric_name, one.dataset_type, one.dataset_name) not in kinds
    ]
    write_text(file, model_card(trained, [*kept, *new]))


def results_of(record: Record, trained: Trained) -> list[EvalResult]:
    """The accuracies of a record with a whole suite as the hub's model-index has them, in percent
    with two digits.
    """
    quantization, protocol = record.evaluation.quantization, record.protocol
    way = record.evaluation.scoring + (f", {quantization} base" if quantization else "")
    if protocol != trained.protocol:
        way += f", protocol {protocol.name} {protocol.hash}"
    accuracies = [
        (key, label, record.benchmarks[key].accuracy) for key, label in record.data.columns.items()
    ]
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=record.data.name,
            dataset_name=f"{label} ({record.data.label})",
            dataset_config=key,  # by which the hub tells two apart
            dataset_split="test",
            metric_type="accuracy",
            metric_name=f"accuracy in percent ({way})",
            metric_value=round(100 * accuracy, 2),
        )
        for key, label, accuracy in [*accuracies, ("average", "average", record.average.accuracy)]
    ]


def model_card(trained: Trained, results: Sequence[EvalResult] = ()) -> str:
    """The card as text. The same run gives the same bytes, wherever and however often it ran."""
    config, method = trained.config, trained.method
    base, label = config["model"]["path"], config["model"]["label"]
    name = f"{method.label}{f' r={method.r}' if method.r else ''} on {label}"
    is_peft = method.name != "full"
    data = ModelCardData(
        base_model=base if _is_on_hub(base) else None,
        library_name="peft" if is_peft else "transformers",
        license=LICENCES.get(base),
        pipeline_tag="text-generation",
        tags=["denselora", method.name] if method.name != "denselora" else ["denselora"],
        model_name=name if results else None,
        eval_results=list(results) or None,
    )
    sections = [
        f"# {markdown(name)}",
        f"{_what(trained)} It was trained by the DenseLoRA project, a working implementation of "
        "[DenseLoRA](https://aclanthology.org/2025.acl-long.503/) (ACL 2025) for PEFT.",
        *([f"    {EQUATIONS[method.name]}"] if method.name in EQUATIONS else []),
        *([_matrices(config)] if method.name == "denselora" else []),
        "## Use",
        _use(trained),
        "## How it was made",
        _made(trained),
        "## Results",
        _table(results) or "Not evaluated yet on all rows of its benchmarks.",
        "## Licence",
        _licence(trained),
        "## Citation",
        f"```bibtex\n{CITATION}\n```",
    ]
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"


def _what(trained: Trained) -> str:
    method, config = trained.method, trained.config
    if method.name == "full":
        label = markdown(config["model"]["label"])
        return f"All {method.trainable:,} weights of {label}, fine-tuned."
    return (
        f"{method.trainable:,} trained parameters ({method.trainable_percent:.4g} % of base and "
        f"adapter) in {markdown(', '.join(method.target_modules))}"
        + (f", rank {method.r}" if method.r else "")
        + (f", α = {method.alpha:g}." if method.alpha else ".")
    )


def _matrices(config: dict) -> str:
    adapter = config["adapter"]
    shared = {
        "module_type": "one pair E, D for each module type, shared by all layers",
        "shape": "one pair E, D for each shape, shared by all layers",
        "none": "a pair E, D for each layer",
    }
    activations = {adapter["activation"], adapter["decoder_activation"]}
    return (
        f"E [r, in], M [r, r], D [out, r]; f is {adapter['decoder_activation']}, g is "
        f"{adapter['activation']}; {shared[adapter['share']]}, and an M for each layer. "
        + (IS_LORA if activations == {"identity"} else NOT_LORA)
    )


def _use(trained: Trained) -> str:
    config, method = trained.config, trained.method
    path = config["model"]["path"]
    if method.name == "full":
        code = 'model = AutoModelForCausalLM.from_pretrained("FOLDER")'
    else:
        code = (
            f"base = AutoModelForCausalLM.from_pretrained({json.dumps(path)})\n"
            'model = PeftModel.from_pretrained(base, "FOLDER")'
        )
    imports = ["from transformers import AutoModelForCausalLM"]
    if method.name != "full":
        imports.insert(0, "from peft import PeftModel")
    if method.name == "denselora":
        imports.insert(0, "import denselora  # registers the method with PEFT")
    prompt = config["protocol"]["prompt"]["evaluate"].replace("```", "'''")
    return (
        "```python\n" + "\n".join(imports) + f"\n\n{code}\n```\n\n"
        f"FOLDER is this folder, or its name on the hub. Prompts as in training:\n\n"
        f"```\n{prompt}\n```"
    )


def _made(trained: Trained) -> str:
    config, protocol, training = trained.config, trained.protocol, trained.training
    options = training_options(config)
    command = shlex.join(f"{k}={v}" for k, v in options.items()) if options else None
    versions = ", ".join(
        f"{name} {trained.packages[name]}"
        for name in ("torch", "transformers", "peft")
        if name in trained.packages
    )
    commit = trained.git.commit or "unknown"
    lines = [
        f"Base: {config['model']['path']}",
        f"Data: {config['data']['label']}, {training.rows:,} rows, {training.epochs:g} "
        f"{'epoch' if training.epochs == 1 else 'epochs'}, "
        f"{training.steps:,} steps of {config['trainer']['global_batch_size']} rows",
        f"Protocol: {protocol.name}, version {protocol.version}, hash {protocol.hash}",
        f"Learning rate {config['trainer']['learning_rate']:g}, seed {config['seed']}",
        f"Run: {trained.run_id}, code at commit {commit}"
        + (" with changes" if trained.git.dirty else ""),
        f"With {versions}",
    ]
    if training.collapsed:
        lines.insert(0, f"The run collapsed: {training.collapsed}")
    made = "\n".join(f"- {markdown(line)}" for line in lines)
    return made + (f"\n\n```\npython scripts/train.py {command}\n```" if command else "")


def _table(results: Sequence[EvalResult]) -> str:
    ways = list(dict.fromkeys(one.metric_name for one in results))
    # data of two names may have one label
    named = {(one.dataset_name, one.dataset_type) for one in results}
    labels = Counter(label for label, _ in named)
    rows = {
        (one.dataset_name, one.dataset_type): one.dataset_name
        + (f", {one.dataset_type}" if labels[one.dataset_name] > 1 else "")
        for one in results
    }
    values = {
        ((one.dataset_name, one.dataset_type), one.metric_name): one.metric_value for one in results
    }
    lines = [["", *ways], ["---", *(["--:"] * len(ways))]]
    lines += [
        [
            markdown(label),
            *(f"{values[row, way]:.1f}" if (row, way) in values else "–" for way in ways),
        ]
        for row, label in rows.items()
    ]
    return "\n".join(map(markdown_row, lines)) if results else ""


def _licence(trained: Trained) -> str:
    path = trained.config["model"]["path"]
    known, base = LICENCES.get(path), markdown(path)
    return (
        f"As its base, {base}: {known}." if known else f"The licence of its base, {base}, holds."
    ) + " The training data has licences of its own, which data/README.md of the project lists."


def _is_on_hub(path: str) -> bool:
    """Whether a base's path is a name on the hub: nobody else has a folder of this machine."""
    return not Path(path).exists() and path.count("/") == 1 and is_hub_id(path)
