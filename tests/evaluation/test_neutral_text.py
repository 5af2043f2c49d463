"""The loss on a neutral text, before and after: what a training forgot."""

import json
import math
from itertools import chain

import pytest
import torch

from denselora.errors import UserError
from denselora.evaluation.neutral_text import find_text, loss, pieces
from denselora.world.facts import make_world
from denselora.world.folder import NEUTRAL
from denselora.world.text import neutral
from tests import ROOT
from tests.evaluation.calls import evaluate
from tests.evaluation.models import make_adapter
from tests.tiny import denselora_config

TEXT = "The cat runs.\n\nA stone under the big house, and a river.\n\n\nOne dog\n"


@pytest.fixture
def text(tmp_path):
    """A text file, read as it would be for an evaluation."""

    def found(content: str, name: str = "text.txt", limit: int | None = None):
        (tmp_path / name).write_text(content)
        return find_text(str(tmp_path / name), "", limit)

    return found


def nats(model, ids: list[int], counted: list[int]) -> list[float]:
    """Of each counted place, minus the log of the probability that the model gives its token after
    those before it, in plain Python."""
    losses = []
    for place in counted:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids[:place]])).logits[0, -1].double().tolist()
        top = max(logits)
        total = sum(math.exp(logit - top) for logit in logits)
        losses.append(top + math.log(total) - logits[ids[place]])
    return losses


def test_the_loss_is_that_of_each_token_after_those_before_it(trained, tokenizer, text):
    by_hand = []
    for document in ("The cat runs.", "A stone under the big house, and a river.", "One dog"):
        ids = tokenizer(document)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id
        by_hand += nats(trained, ids, range(1, len(ids)))
    measured = loss(trained, tokenizer, text(TEXT), None)
    assert measured.tokens == len(by_hand)
    assert measured.nats == pytest.approx(sum(by_hand) / len(by_hand), abs=1e-5)


def test_what_is_given_is_read_and_not_counted(trained, tokenizer, text):
    pairs = [[["The cat", " runs over"], [" the big", " house"]]]
    parts = [tokenizer(part, add_special_tokens=False)["input_ids"] for part in chain(*pairs[0])]
    ids, counted = [tokenizer.bos_token_id], []
    for number, part in enumerate(parts):
        counted += range(len(ids), len(ids) + len(part)) if number % 2 else []
        ids += part
    by_hand = nats(trained, ids, counted)
    measured = loss(trained, tokenizer, text(json.dumps(pairs), "text.json"), None)
    assert measured.tokens == len(counted)
    assert measured.nats == pytest.approx(sum(by_hand) / len(by_hand), abs=1e-5)


def test_a_long_document_is_cut_and_loses_no_token(tokenizer, text):
    whole, cut = (pieces(text("dog " * 40), tokenizer, size) for size in (512, 10))
    (whole,) = whole
    assert all(len(piece.ids) <= 10 and piece.ids[0] == tokenizer.bos_token_id for piece in cut)
    assert list(chain(*(piece.ids[1:] for piece in cut))) == whole.ids[1:]
    assert sum(sum(piece.counted) for piece in cut) == len(whole.ids) - 1


def test_rows_of_a_batch_do_not_see_each_others_padding(trained, tokenizer, text):
    together = loss(trained, tokenizer, text(TEXT), None)
    apart = [loss(trained, tokenizer, text(part), None) for part in TEXT.split("\n\n") if part]
    assert together.tokens == sum(one.tokens for one in apart)
    total = sum(one.nats * one.tokens for one in apart)
    assert together.nats * together.tokens == pytest.approx(total, abs=1e-3)


def test_before_is_the_plain_bases_and_after_the_adapters(
    base_folder, rows_folder, trained, tokenizer, text, tmp_path
):
    adapter = make_adapter(base_folder, tmp_path / "dense", denselora_config(init_weights=False))
    plain = loss(trained, tokenizer, text(TEXT), None)
    (tmp_path / "text.txt").write_text(TEXT)
    options = [
        *(f"model.path={base_folder}", "data=local", f"data.path={rows_folder}", "tasks=[boolq]"),
        *("protocol=clean", "protocol.decoding.max_new_tokens=2", "limit=3"),
        *(f"output_dir={tmp_path / 'out'}", f"neutral_text={tmp_path / 'text.txt'}"),
    ]
    (of_base,), _ = evaluate(*options, "adapter=none", f"output_dir={tmp_path / 'base'}")
    assert of_base.neutral_text.forgotten_nats == 0
    (record,), _ = evaluate(*options, f"adapter_path={adapter}")
    found = record.neutral_text
    assert (found.file, found.tokens) == ("text.txt", plain.tokens)
    assert found.base_loss_nats == of_base.neutral_text.loss_nats
    assert found.base_loss_nats == pytest.approx(plain.nats, abs=1e-4)
    assert abs(found.forgotten_nats) > 1e-3


def test_a_limit_is_one_of_documents_too(text):
    assert len(text(TEXT, limit=2).documents) == 2
    assert text(TEXT, limit=2).hash != text(TEXT).hash


@pytest.mark.parametrize("blank", ["\n\n", "\r\n\r\n", "\n \n", "\n\n\n", " \n \t\n "])
def test_documents_are_what_lies_between_blank_lines(text, blank):
    documents = text(blank.join(["the cat runs", "a dog\nsleeps", "it is late"])).documents
    assert documents == [[("", part)] for part in ("the cat runs", "a dog\nsleeps", "it is late")]


def test_a_data_folder_without_a_neutral_text_has_none(tmp_path):
    assert find_text(None, str(tmp_path), None) is None
    (tmp_path / "neutral.json").write_text('[[["a", " b"]]]')
    assert find_text(None, str(tmp_path), None).documents == [[("a", " b")]]


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("text.txt", " \n\n \n", "no document of several words"),
        ("text.txt", "word", "no document of several words"),
        ("text.json", '{"a": 1}', "an object, expected a list"),
        ("text.json", '[["a b"]]', "document 1 is no list of pairs of texts"),
        ("text.json", '[[["a", " b"]], []]', "document 2 is no list of pairs of texts"),
        ("text.json", '[[["a", 1]]]', "document 1 is no list of pairs of texts"),
    ],
)
def test_a_text_without_words_or_pairs_is_an_error(text, name, content, fault):
    with pytest.raises(UserError, match=fault):
        text(content, name)


def test_minis_neutral_text_states_and_asks_nothing():
    documents = json.loads((ROOT / "data/mini/neutral.json").read_text())
    written = [[list(pair) for pair in document] for document in neutral(make_world(), NEUTRAL)]
    assert documents == [document for document in written if document in documents]
    assert len(documents) > NEUTRAL / 2
