"""Training rows as token ids and labels."""

import inspect
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import datasets
import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from denselora import protocol as protocol_module
from denselora.data.batch import IGNORED, counted
from denselora.errors import UserError
from denselora.files import check_writable, writing
from denselora.protocol import Protocol
from denselora.readers import check_file

FEATURES = ("input_ids", "labels", "overlong")


def encode(
    rows: dict[str, list[str]], tokenizer: PreTrainedTokenizerBase, protocol: Protocol
) -> dict[str, list]:
    """Token ids and labels of training rows (columns of equal length), as in the authors'
    finetune.py.

    A row's whole text is tokenised at once and cut at the protocol's cut-off; EOS is appended when
    the row is shorter than the cut-off. Without `train_on_prompt`, prompt and answer are tokenised
    apart, so that the answer's first token is the one that decoding after the prompt makes, and the
    prompt's labels are ignored. With `overlong: drop` a longer row keeps its place in its batch and
    carries no loss.

    Returns input_ids and labels (equal length, at most the cut-off) and `overlong` for each row.
    """
    texts = [
        protocol.training_text({"instruction": instruction, "input": given, "output": output})
        for instruction, given, output in zip(
            rows["instruction"], rows["input"], rows["output"], strict=True
        )
    ]
    prompts, answers = map(list, zip(*texts, strict=True))
    if protocol.train_on_prompt:
        ids = tokenizer([prompt + answer for prompt, answer in texts])["input_ids"]
        masked = [0] * len(ids)
    else:
        heads = tokenizer(prompts)["input_ids"]
        tails = tokenizer(answers, add_special_tokens=False)["input_ids"]
        ids = [head + tail for head, tail in zip(heads, tails, strict=True)]
        masked = [len(head) for head in heads]
    overlong = [len(row) > protocol.cutoff for row in ids]
    ids = [_ended(row[: protocol.cutoff], tokenizer.eos_token_id, protocol.cutoff) for row in ids]
    if protocol.overlong == "drop":
        masked = [protocol.cutoff if long else n for n, long in zip(masked, overlong, strict=True)]
    labels = [[IGNORED] * min(n, len(row)) + row[n:] for n, row in zip(masked, ids, strict=True)]
    return {"input_ids": ids, "labels": labels, "overlong": overlong}


def _ended(ids: list[int], eos: int, cutoff: int) -> list[int]:
    return [*ids, eos] if len(ids) < cutoff and ids[-1] != eos else ids


class TrainingSet:
    """Tokenised rows by their number in the file.

    Only the rows that a run will use are tokenised, so that a short run starts at once. They are
    slices of the memory-mapped cache file: reading one takes about a microsecond.

    overlong: how many are longer than the cut-off. lengths: tokens of each row, by row number.
    """

    def __init__(self, encoded: Dataset, numbers: Sequence[int]):
        self.overlong = sum(encoded["overlong"][:])
        self._ids, self._starts = _flat(encoded, "input_ids")
        self._labels, _ = _flat(encoded, "labels")
        self._place = {number: place for place, number in enumerate(numbers)}
        sizes = np.diff(self._starts).tolist()
        self.lengths = {number: sizes[place] for number, place in self._place.items()}

    def __len__(self) -> int:
        return len(self._place)

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        """input_ids and labels, each [tokens], of the row with that number."""
        place = self._place[number]
        row = slice(self._starts[place], self._starts[place + 1])
        return {"input_ids": self._ids[row], "labels": self._labels[row]}

    @property
    def digest(self) -> str:
        """sha256 of the rows' numbers, token ids and labels: of all that training sees."""
        lengths = np.diff(self._starts)
        first, end = self._starts[0], self._starts[-1]
        digest = sha256()
        for part in ([*self._place], lengths, self._ids[first:end], self._labels[first:end]):
            digest.update(np.asarray(part, dtype=np.int64).data)
        return digest.hexdigest()

    @property
    def numbers(self) -> list[int]:
        """The rows' numbers, ascending."""
        return sorted(self._place)


def _flat(encoded: Dataset, column: str) -> tuple[np.ndarray, np.ndarray]:
    """All values of a column of lists, end to end, and where each list starts (and the end)."""
    lists = encoded.data.column(column).combine_chunks()
    return lists.values.to_numpy(), lists.offsets.to_numpy()


def tokenise(
    rows: Dataset,
    numbers: Sequence[int],
    tokenizer: PreTrainedTokenizerBase,
    protocol: Protocol,
    source: str,
) -> TrainingSet:
    """Encode the rows with these numbers, or take them from an earlier run's cache file.

    The file lies in the cache folder of the datasets library (HF_DATASETS_CACHE) and is named after
    all that decides it: the rows' content, the tokenizer, the protocol, the code that encodes.

    Raises UserError naming `source` if no token of them carries loss.
    """
    chosen = rows.select(numbers)
    cache = Path(datasets.config.HF_DATASETS_CACHE) / "denselora"
    check_writable(cache, "HF_DATASETS_CACHE")
    cache.mkdir(parents=True, exist_ok=True)
    file = cache / f"{cache_key(chosen, tokenizer, protocol)}.arrow"
    encoded = _kept(file, len(chosen))
    if encoded is None:
        with writing(file):
            encoded = chosen.map(
                encode,
                batched=True,
                fn_kwargs={"tokenizer": tokenizer, "protocol": protocol},
                remove_columns=rows.column_names,
                cache_file_name=str(file),
                load_from_cache_file=False,
                desc="tokenising",
            )
    training_set = TrainingSet(encoded, numbers)
    if protocol.overlong == "drop" and training_set.overlong == len(encoded):
        raise UserError(
            f"{source}: every row is longer than protocol.cutoff={protocol.cutoff}; raise it"
        )
    if not any(counted(training_set[number]) for number in numbers):
        raise UserError(
            f"{source}: with protocol.cutoff={protocol.cutoff} no row has a token that carries "
            "loss; raise it"
        )
    return training_set


def _kept(file: Path, rows: int) -> Dataset | None:
    """So many encoded rows from a cache file; None without one, or if it is damaged."""
    if not file.exists():
        return None
    check_file(file, "delete it")
    try:
        encoded = Dataset.from_file(str(file))
        encoded.data.validate(full=True)
        if len(encoded) == rows and set(encoded.column_names) == {*FEATURES}:
            return encoded
    except Exception:  # Arrow has an error for each kind of damage
        pass
    print(f"{file}: damaged; the rows are tokenised again")
    return None


def cache_key(rows: Dataset, tokenizer: PreTrainedTokenizerBase, protocol: Protocol) -> str:
    """Sixteen hex digits that change with the rows' text, the tokenizer, the protocol or the code.

    Only what is encoded counts: rows in another file, or with other gold answers, share the entry.
    """
    key = sha256()
    for module in (inspect.getmodule(encode), protocol_module):
        key.update(inspect.getsource(module).encode())
    key.update(protocol.hash.encode())
    key.update(_fingerprint(tokenizer))
    for column in ("instruction", "input", "output"):
        for text in rows[column][:]:
            part = text.encode()
            key.update(len(part).to_bytes(8, "little") + part)
    return key.hexdigest()[:16]


def _fingerprint(tokenizer: PreTrainedTokenizerBase) -> bytes:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    content = backend.to_str() if backend else repr(sorted(tokenizer.get_vocab().items()))
    special = (type(tokenizer).__name__, tokenizer.bos_token_id, tokenizer.eos_token_id)
    return repr((special, sha256(content.encode()).hexdigest())).encode()
