"""Tokenising: labels, cut-off, EOS, cache."""

import datasets
import numpy as np
import pytest
from datasets import Dataset

from denselora.data.batch import IGNORED
from denselora.data.dataset import cache_key, encode, tokenise
from denselora.errors import UserError
from denselora.protocol import Protocol
from tests.configs import read_protocol
from tests.tiny import word_tokenizer

ROW = {"instruction": "is one even ?", "input": "", "output": "the answer is false", "answer": ""}
PREAMBLE = (
    "Below is an instruction that describes a task . Write a response that appropriately "
    "completes the request . ### Instruction : Response :"
)


@pytest.fixture(scope="module")
def tokenizer():
    return word_tokenizer([PREAMBLE, ROW["instruction"], ROW["output"]])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache/denselora"


def encoded(tokenizer, protocol: Protocol, **changes) -> dict:
    row = ROW | changes
    columns = encode({key: [value] for key, value in row.items()}, tokenizer, protocol)
    return {name: values[0] for name, values in columns.items()}


def test_paper_labels_prompt_and_answer_and_ends_with_eos(tokenizer):
    row = encoded(tokenizer, read_protocol("paper"))
    text = "".join(read_protocol("paper").training_text(ROW))
    assert row["input_ids"] == [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    assert row["labels"] == row["input_ids"]
    assert not row["overlong"]


def test_paper_cuts_a_long_row_at_the_end_without_eos(tokenizer):
    whole = encoded(tokenizer, read_protocol("paper"))["input_ids"]
    for cutoff in (len(whole) - 1, len(whole) - 3):
        row = encoded(tokenizer, read_protocol("paper", cutoff=cutoff))
        assert row["input_ids"] == whole[:cutoff]
        assert row["overlong"] == (cutoff < len(whole) - 1)
    assert encoded(tokenizer, read_protocol("paper", cutoff=len(whole)))["input_ids"] == whole


def test_clean_labels_the_answer_alone(tokenizer):
    row = encoded(tokenizer, read_protocol("clean"))
    answer = [*tokenizer(ROW["output"])["input_ids"], tokenizer.eos_token_id]
    assert row["labels"][-len(answer) :] == row["input_ids"][-len(answer) :] == answer
    assert set(row["labels"][: -len(answer)]) == {IGNORED}


def test_clean_takes_no_loss_from_an_overlong_row(tokenizer):
    row = encoded(tokenizer, read_protocol("clean", cutoff=20))
    assert row["overlong"] and set(row["labels"]) == {IGNORED}
    assert len(row["input_ids"]) == len(row["labels"]) == 20


def test_rows_whose_cut_leaves_no_answer_are_an_error_that_names_the_file(tokenizer):
    rows = Dataset.from_list([ROW])
    protocol = read_protocol("clean", cutoff=20, overlong="cut")
    with pytest.raises(UserError, match=r"rows\.json: with protocol\.cutoff=20 no row has a token"):
        tokenise(rows, [0], tokenizer, protocol, "rows.json")


def test_only_overlong_rows_are_an_error_that_names_the_file(tokenizer):
    with pytest.raises(UserError, match=r"rows\.json: every row .*protocol\.cutoff=20"):
        rows = Dataset.from_list([ROW])
        tokenise(rows, [0], tokenizer, read_protocol("clean", cutoff=20), "rows.json")


def test_rows_are_found_by_their_number(tokenizer):
    rows = Dataset.from_list([ROW, ROW | {"output": "false"}, ROW | {"output": "is is is is"}])
    chosen = tokenise(rows, [0, 2], tokenizer, read_protocol("paper"), "")
    for number in (0, 2):
        expected = encoded(tokenizer, read_protocol("paper"), output=rows[number]["output"])
        assert chosen[number]["input_ids"].tolist() == expected["input_ids"]
        assert chosen[number]["labels"].tolist() == expected["labels"]
        assert chosen.lengths[number] == len(expected["input_ids"])
    assert chosen.numbers == [0, 2] and len(chosen) == 2


def test_a_second_run_reads_the_cache(tokenizer, cache, monkeypatch):
    rows = Dataset.from_list([ROW] * 3)
    first = tokenise(rows, [0, 1], tokenizer, read_protocol("paper"), "")
    assert len(list(cache.glob("*.arrow"))) == 1
    monkeypatch.setattr(type(tokenizer), "__call__", lambda *_, **__: pytest.fail("tokenised"))
    again = tokenise(Dataset.from_list([ROW] * 3), [0, 1], tokenizer, read_protocol("paper"), "")
    assert np.array_equal(first[1]["input_ids"], again[1]["input_ids"])


def test_cache_key_changes_with_content_tokenizer_and_protocol(tokenizer):
    rows = Dataset.from_list([ROW])
    key = cache_key(rows, tokenizer, read_protocol("paper"))
    assert key == cache_key(Dataset.from_list([ROW]), tokenizer, read_protocol("paper"))
    assert key == cache_key(
        Dataset.from_list([ROW | {"answer": "x"}]), tokenizer, read_protocol("paper")
    )
    others = [
        cache_key(Dataset.from_list([ROW | {"output": "true"}]), tokenizer, read_protocol("paper")),
        cache_key(rows, word_tokenizer(["other words"]), read_protocol("paper")),
        cache_key(rows, tokenizer, read_protocol("paper", cutoff=255)),
    ]
    assert len({key, *others}) == 4


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-400]),
        lambda file: file.write_bytes(b"<html>" * 99),
        lambda file: (
            Dataset.from_dict({"a": [1]}).save_to_disk(file.with_name("other"))
            or next(file.with_name("other").glob("*.arrow")).replace(file)
        ),
    ],
)
def test_rows_whose_cache_file_is_damaged_are_tokenised_again(tokenizer, cache, spoil, capsys):
    rows = Dataset.from_list([ROW, ROW | {"output": "false"}])
    before = tokenise(rows, [0, 1], tokenizer, read_protocol("paper"), "").digest
    (file,) = cache.glob("*.arrow")
    spoil(file)
    assert tokenise(rows, [0, 1], tokenizer, read_protocol("paper"), "").digest == before
    assert f"{file}: damaged; the rows are tokenised again" in capsys.readouterr().out
    tokenise(rows, [0, 1], tokenizer, read_protocol("paper"), "")
    assert "damaged" not in capsys.readouterr().out
