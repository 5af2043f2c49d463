"""BOS, EOS, padding and the border of prompt and answer, per model family.

On the real tokenizers where `make test-tokenizers` has put them, and everywhere on stand-ins.
"""

import json
import re
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import pytest
from tokenizers.processors import TemplateProcessing

from denselora.data.batch import IGNORED, pack
from denselora.data.dataset import encode
from denselora.errors import UserError
from denselora.models import load_tokenizer
from denselora.protocol import Protocol
from denselora.tasks import COMMONSENSE
from tests import ROOT, stand_ins
from tests.configs import read_protocol

REAL = ROOT / "data/models/tokenizers"
FAMILIES = ("smollm2", "llama3", "llama2")
# BOS that stands before a text, EOS, the token with id 0: ids of the real ones
SPECIAL = {
    "smollm2": (None, 2, "<|endoftext|>"),
    "llama3": (128000, 128001, "!"),
    "llama2": (1, 2, "<unk>"),
}
SPACES = " " * 16


def row(benchmark) -> dict[str, str]:
    """A row laid out as LLM-Adapters lays out the benchmark's, in words of our own."""
    answers = benchmark.answers[:4]
    options = "" if "true" in answers else "".join(f"{a.capitalize()}: a 3 b! " for a in answers)
    return {
        "instruction": f"Please choose: is 10 more than 9?\n\n{options.strip()}\n\nAnswer format: "
        + "/".join(answers),
        "input": "",
        "output": f"the correct answer is {answers[-1]}",
        "answer": answers[-1],
    }


ROWS = [row(benchmark) for benchmark in COMMONSENSE]
ROWS.append(ROWS[0] | {"input": "An input! It has 2 lines.\nThis is one."})


@pytest.fixture(scope="module")
def protocols() -> dict[str, Protocol]:
    return {name: read_protocol(name) for name in ("paper", "clean")}


@pytest.fixture(scope="module")
def stand_in_folders(protocols, tmp_path_factory) -> dict[str, Path]:
    texts = ["".join(p.training_text(row)) for p in protocols.values() for row in ROWS]
    folder = tmp_path_factory.mktemp("tokenizers")
    return {family: stand_ins.write(family, folder / family, texts) for family in FAMILIES}


def real(family: str) -> Path:
    if not (REAL / family).is_dir():
        pytest.skip(f"{REAL.relative_to(ROOT)}/{family} is not there: make test-tokenizers")
    return REAL / family


@pytest.fixture(scope="module", params=["stand-in", "real"])
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module", params=FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def tokenizer(kind, family, stand_in_folders):
    return load_tokenizer(str(real(family) if kind == "real" else stand_in_folders[family]))


def pieces(tokenizer, ids: list[int]) -> list[str]:
    """Each token's text, its spaces and line ends as such."""
    marks = {"Ġ": " ", "▁": " ", "Ċ": "\n", "<0x0A>": "\n"}
    texts = tokenizer.convert_ids_to_tokens(ids)
    for mark, text in marks.items():
        texts = [piece.replace(mark, text) for piece in texts]
    return texts


def answer_start(tokenizer, ids: list[int], answer: str) -> int:
    """Where the token with the answer's first letter stands; ids end with the answer."""
    texts = pieces(tokenizer, ids)
    return max(at for at in range(len(ids)) if "".join(texts[at:]).strip() == answer)


def encoded(tokenizer, protocol: Protocol, row: dict[str, str]) -> tuple[list[int], list[int]]:
    """Ids and labels of a training row."""
    columns = encode({key: [value] for key, value in row.items()}, tokenizer, protocol)
    return columns["input_ids"][0], columns["labels"][0]


def read(tokenizer, protocol: Protocol, row: dict[str, str]) -> list[int]:
    """Ids of the row's prompt in evaluation."""
    return tokenizer(protocol.evaluation_prompt(row))["input_ids"]


def roomy(protocols: dict[str, Protocol]) -> list[Protocol]:
    """Both protocols with a cut-off that no row here reaches."""
    return [replace(protocol, cutoff=2000) for protocol in protocols.values()]


def test_padding_is_on_the_left_with_id_0(tokenizer, family):
    assert tokenizer.padding_side == "left" and tokenizer.pad_token_id == 0
    assert tokenizer.convert_ids_to_tokens(0) == SPECIAL[family][2]
    short, long = tokenizer(["a", "a a a"], padding=True)["input_ids"]
    assert short[0] == 0 and short[-1] != 0 and len(short) == len(long)


def test_bos_stands_before_llama_texts_and_before_no_smollm2_text(tokenizer, family, protocols):
    for protocol in roomy(protocols):
        for row in ROWS:
            for ids in (encoded(tokenizer, protocol, row)[0], read(tokenizer, protocol, row)):
                count = ids.count(tokenizer.bos_token_id)
                assert count == (family != "smollm2")
                assert (ids[0] == tokenizer.bos_token_id) == (family != "smollm2")


def test_real_ids_are_the_families_known_ones(family):
    tokenizer = load_tokenizer(str(real(family)))
    bos, eos, _ = SPECIAL[family]
    assert tokenizer.eos_token_id == eos
    if bos is not None:
        assert tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id == bos


def test_eos_ends_a_whole_training_row_once(tokenizer, protocols):
    for protocol in roomy(protocols):
        for row in ROWS:
            for output in (row["output"], row["output"] + tokenizer.eos_token):
                ids, labels = encoded(tokenizer, protocol, row | {"output": output})
                assert ids.index(tokenizer.eos_token_id) == len(ids) - 1
                assert labels[-1] == tokenizer.eos_token_id


def test_a_cut_row_has_no_eos(tokenizer, protocols):
    for protocol in roomy(protocols):
        whole, _ = encoded(tokenizer, protocol, ROWS[0])
        for cutoff in (len(whole) - 1, len(whole) - 5):
            ids, _ = encoded(tokenizer, replace(protocol, cutoff=cutoff), ROWS[0])
            assert ids == whole[:cutoff]


def test_an_evaluation_prompt_has_no_eos(tokenizer, protocols):
    for protocol in protocols.values():
        for row in ROWS:
            assert tokenizer.eos_token_id not in read(tokenizer, protocol, row)


@pytest.mark.parametrize("which", ["eos_token", "bos_token"])
def test_a_tokenizer_that_ends_prompts_with_a_token_is_refused(tmp_path, stand_in_folders, which):
    tokenizer = load_tokenizer(str(stand_in_folders["llama3"]))
    token = getattr(tokenizer, which)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {token}", special_tokens=[(token, tokenizer.convert_tokens_to_ids(token))]
    )
    tokenizer.save_pretrained(tmp_path)
    told = rf"ends every text with {re.escape(token)}, .*tokenizer\.json"
    with pytest.raises(UserError, match=told):
        load_tokenizer(str(tmp_path))


def test_an_exclamation_mark_stays_text_though_llama3_has_it_as_pad_id(tokenizer, protocols):
    row = ROWS[0] | {"output": "the correct answer is true!"}
    for protocol in roomy(protocols):
        ids, labels = encoded(tokenizer, protocol, row)
        mark = tokenizer("true!", add_special_tokens=False)["input_ids"][-1]
        assert labels[-2] == ids[-2] == mark
        assert tokenizer.decode(ids, skip_special_tokens=True).endswith("answer is true!")
        batch = pack([{"input_ids": ids, "labels": labels}], [1.0])
        assert batch.input_ids[0].tolist() == ids
        assert batch.labels[-2] == mark


def test_paper_trains_the_answer_after_15_spaces_and_asks_for_it_after_16(tokenizer, protocols):
    protocol = replace(protocols["paper"], cutoff=2000)
    for row in ROWS:
        ids, _ = encoded(tokenizer, protocol, row)
        start = answer_start(tokenizer, ids[:-1], row["output"])
        before, first = pieces(tokenizer, ids[:start]), pieces(tokenizer, ids[start:])[0]
        assert first == " the"
        assert "".join(before).endswith("### Response:\n" + SPACES[1:])
        asked = read(tokenizer, protocol, row)
        assert "".join(pieces(tokenizer, asked)).endswith("### Response:\n" + SPACES)
        # the prompt as it was trained, the answer aside, is no prefix either
        trained = tokenizer(protocol.training_text(row)[0])["input_ids"]
        for prompt in (asked, trained):
            assert ids[: len(prompt)] != prompt


def test_paper_prompts_part_at_the_end_of_the_first_line(tokenizer, protocols):
    protocol = replace(protocols["paper"], cutoff=2000)
    for row in ROWS:
        ids, _ = encoded(tokenizer, protocol, row)
        pairs = zip(ids, read(tokenizer, protocol, row), strict=False)
        shared = [one for one, other in takewhile(lambda pair: pair[0] == pair[1], pairs)]
        same = "".join(pieces(tokenizer, shared))
        assert "completes the request" in same and "\n" not in same


def test_clean_trains_the_very_tokens_that_are_asked_and_answered(tokenizer, family, protocols):
    protocol = replace(protocols["clean"], cutoff=2000)
    for row in ROWS:
        ids, labels = encoded(tokenizer, protocol, row)
        asked = read(tokenizer, protocol, row)
        assert ids[: len(asked)] == asked
        assert labels == [IGNORED] * len(asked) + ids[len(asked) :]
        assert answer_start(tokenizer, ids[:-1], row["output"]) == len(asked)
        assert pieces(tokenizer, asked)[-1].endswith("\n")
        # SentencePiece puts a space before any text that it is given alone
        first = " the" if family == "llama2" else "the"
        assert pieces(tokenizer, ids[len(asked) :])[0] == first


def test_apart_and_together_differ_under_clean_for_llama2_alone(tokenizer, family, protocols):
    protocol = replace(protocols["clean"], cutoff=2000)
    for row in ROWS:
        ids, _ = encoded(tokenizer, protocol, row)
        together = tokenizer("".join(protocol.training_text(row)))["input_ids"]
        assert (together == ids[:-1]) == (family != "llama2")


def test_stand_ins_split_text_as_the_real_ones(family, stand_in_folders):
    def split(folder: Path) -> tuple:
        state = json.loads(load_tokenizer(str(folder)).backend_tokenizer.to_str())
        return state["normalizer"], state["pre_tokenizer"], state["model"]["byte_fallback"]

    assert split(real(family)) == split(stand_in_folders[family])


@pytest.mark.parametrize("name", ["llama2", "llama3"])
def test_real_ids_are_those_that_llama_cpp_recorded(name):
    pairs = json.loads((real(name) / "reference.json").read_text())
    if name == "llama2":  # transformers 5 adds no second space there, older versions did
        pairs = [(text, ids) for text, ids in pairs if not text.startswith(" ")]
    tokenizer = load_tokenizer(str(real(name)))
    assert len(pairs) > 30
    for text, ids in pairs:
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids


def test_real_smollm2_keeps_spaces_before_a_digit_together():
    tokenizer = load_tokenizer(str(real("smollm2")))
    assert pieces(tokenizer, tokenizer("a   12")["input_ids"]) == ["a", "   ", "1", "2"]
