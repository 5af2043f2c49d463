from dataclasses import replace

import pytest
import torch

from denselora.data.batch import IGNORED
from denselora.errors import UserError
from denselora.world.base import encode, fill_empty_rows, new_base, pretrain
from denselora.world.facts import make_world
from denselora.world.text import LESSONS, as_text, documents
from denselora.world.tokenizer import train_tokenizer
from tests.configs import settings

TEXT = documents(make_world(), LESSONS[:1])[:400]
TOKENIZER = train_tokenizer(map(as_text, TEXT), vocab_size=600)


FOUR_STEPS = settings(
    epochs=1, max_steps=4, global_batch_size=16, micro_batch_size=16,
    learning_rate=3e-3, warmup_steps=2, validation_rows=0, save_steps=2,
)  # fmt: skip


class Cut(list):
    """Rows that can be read up to the third batch."""

    def __getitem__(self, at):
        if at >= 32:
            raise KeyboardInterrupt
        return super().__getitem__(at)


def test_the_base_takes_every_path_of_llama3():
    model = new_base(len(TOKENIZER), seed=0)
    assert model.config.num_key_value_heads < model.config.num_attention_heads
    assert model.config.rope_parameters["rope_theta"] == 500_000
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    assert {"q_proj", "k_proj", "v_proj", "up_proj", "down_proj"} <= names


def test_some_heads_start_by_attending_to_what_is_alike():
    attention = new_base(len(TOKENIZER), seed=0).model.layers[1].self_attn
    width = attention.config.hidden_size
    key = attention.k_proj.weight.view(-1, attention.head_dim, width)[-1]
    query = attention.q_proj.weight.view(-1, attention.head_dim, width)[-1]
    assert torch.equal(key, query)


def test_no_row_of_the_finished_base_is_zero_for_dora_divides_by_its_norm():
    model = new_base(len(TOKENIZER), seed=0)
    weights = [p for name, p in model.named_parameters() if name.endswith("proj.weight")]
    assert min(weight.norm(dim=1).min() for weight in weights) == 0
    fill_empty_rows(model)
    assert min(weight.norm(dim=1).min() for weight in weights) > 0


def test_only_what_is_to_be_learned_carries_loss():
    (row,) = encode([[("A mado is made of", " wood."), (" It is", " old.")]], TOKENIZER)
    learned = [token for token in row["labels"] if token != IGNORED]
    assert TOKENIZER.decode(learned) == " wood. old."
    assert len(row["labels"]) == len(row["input_ids"])


def test_pretraining_that_was_cut_off_ends_as_one_that_was_not(tmp_path):
    rows = encode(TEXT, TOKENIZER)
    whole = new_base(len(TOKENIZER), seed=0)
    figures = pretrain(whole, rows, FOUR_STEPS, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        pretrain(new_base(len(TOKENIZER), seed=0), Cut(rows), FOUR_STEPS, tmp_path / "cut")
    resumed = new_base(len(TOKENIZER), seed=1)
    assert (
        pretrain(resumed, rows, FOUR_STEPS, tmp_path / "cut")["loss_nats"] == figures["loss_nats"]
    )
    pairs = zip(whole.parameters(), resumed.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    for other in ((rows[::-1], FOUR_STEPS), (rows, replace(FOUR_STEPS, learning_rate=0.5))):
        with pytest.raises(UserError, match="holds the pretraining of another base"):
            pretrain(new_base(len(TOKENIZER), seed=0), *other, tmp_path / "cut")
    assert figures["tokens"] == sum(len(row["input_ids"]) for row in rows[:64])
