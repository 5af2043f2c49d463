"""Our decoding against transformers' generate on one prompt at a time."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from denselora.evaluation.context import compute_head, read_prompts, shared_head
from denselora.evaluation.decode import beam_search, generation_config, greedy
from denselora.protocol import Decoding
from tests.evaluation.models import LAYOUTS, make_model, make_rows
from tests.tiny import denselora_config


def encode(tokenizer, protocol, count=4) -> list[list[int]]:
    rows = [row for name in LAYOUTS for row in make_rows(name, count, seed=2)]
    return [tokenizer(protocol.evaluation_prompt(row))["input_ids"] for row in rows]


def one_at_a_time(model, tokenizer, prompts, decoding) -> list[list[int]]:
    """The authors' way: transformers' generate, batch 1."""
    config = generation_config(decoding, tokenizer)
    made = []
    for ids in prompts:
        tokens = torch.tensor([ids])
        out = model.generate(
            input_ids=tokens, attention_mask=torch.ones_like(tokens), generation_config=config
        )[0, len(ids) :].tolist()
        eos = tokenizer.eos_token_id
        made.append(out[: out.index(eos)] if eos in out else out)
    return made


def ours(model, tokenizer, prompts, decoding, batch, head=True, draft=()) -> list[list[int]]:
    shared = compute_head(model, shared_head(prompts) if head else [])
    made = []
    for start in range(0, len(prompts), batch):
        context = read_prompts(model, shared, prompts[start : start + batch], draft)
        if decoding.num_beams == 1:
            made += greedy(context, decoding.max_new_tokens, tokenizer.eos_token_id, never)
        else:
            made += beam_search(
                context, decoding.num_beams, decoding.max_new_tokens, tokenizer.eos_token_id
            )
    return made


def never(ids: list[int]) -> bool:
    return False


def tuned(base, kind):
    """The base, or the base under a random adapter."""
    if kind == "base":
        return base
    torch.manual_seed(0)
    config = {
        "denselora": denselora_config(init_weights=False),
        "lora": LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False),
    }[kind]
    return get_peft_model(base, config).eval()


@pytest.fixture(scope="module", params=["untrained", "hesitant", "trained"])
def model(request, tokenizer, paper):
    """Models that never stop, that hesitate, and that know when to stop."""
    return make_model(
        tokenizer, paper, steps={"untrained": 0, "hesitant": 9, "trained": 25}[request.param]
    )


@pytest.mark.parametrize("beams", [4, 1])
def test_any_batch_gives_the_tokens_of_generate_on_one_prompt(model, tokenizer, paper, beams):
    decoding = Decoding(num_beams=beams, max_new_tokens=20)
    prompts = encode(tokenizer, paper, 3)
    expected = one_at_a_time(model, tokenizer, prompts, decoding)
    assert len({tuple(ids) for ids in expected}) > 1
    for batch in (1, 4, 9):
        assert ours(model, tokenizer, prompts, decoding, batch) == expected
    assert ours(model, tokenizer, prompts, decoding, 5, head=False) == expected
    assert ours(model, tokenizer, prompts[::-1], decoding, 5) == expected[::-1]


@pytest.mark.parametrize("right", [0, 1, 2, 5])
def test_a_draft_changes_no_token(model, tokenizer, paper, right):
    decoding = Decoding(num_beams=1, max_new_tokens=9)
    prompts = encode(tokenizer, paper, 3)
    expected = one_at_a_time(model, tokenizer, prompts, decoding)
    draft = [*expected[0][:right], 7, 8, 9]  # as the first row goes on at most
    assert ours(model, tokenizer, prompts, decoding, 9, draft=draft) == expected
    assert ours(model, tokenizer, prompts, decoding, 2, head=False, draft=draft) == expected


def test_a_right_draft_saves_its_passes(trained, tokenizer, paper):
    prompt = encode(tokenizer, paper, 1)[:1]
    head = compute_head(trained, [])
    (whole,) = ours(trained, tokenizer, prompt, Decoding(1, 32), 1)
    assert len(whole) > 4
    context = read_prompts(trained, head, prompt, whole[:4])
    assert context.written == [whole[:4]]
    passes, append = [], context.append
    context.append = lambda *tokens: passes.append(1) or append(*tokens)
    assert greedy(context, 32, tokenizer.eos_token_id, never) == [whole]
    assert len(passes) == len(whole) - 4


@pytest.mark.parametrize("kind", ["denselora", "lora"])
def test_an_adapter_decodes_as_with_generate(tokenizer, paper, kind):
    model = tuned(make_model(tokenizer, paper, steps=9), kind)
    prompts, decoding = encode(tokenizer, paper, 2), Decoding(4, 12)
    expected = one_at_a_time(model, tokenizer, prompts, decoding)
    assert ours(model, tokenizer, prompts, decoding, 4) == expected


def test_other_beams_and_lengths(trained, tokenizer, paper):
    prompts = encode(tokenizer, paper, 2)
    for beams, tokens in [(2, 32), (3, 7), (8, 5), (4, 1)]:
        decoding = Decoding(beams, tokens)
        expected = one_at_a_time(trained, tokenizer, prompts, decoding)
        assert ours(trained, tokenizer, prompts, decoding, 6) == expected, (beams, tokens)


def test_no_random_number_is_drawn(trained, tokenizer, paper):
    before = torch.get_rng_state()
    ours(trained, tokenizer, encode(tokenizer, paper, 2), paper.decoding, 4)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_row_leaves_the_batch_once_its_outcome_is_certain(trained, tokenizer, paper, monkeypatch):
    prompts = encode(tokenizer, paper)
    context = read_prompts(trained, compute_head(trained, []), prompts)
    sizes = []
    append = context.append
    monkeypatch.setattr(
        context, "append", lambda tokens, *rest: sizes.append(len(tokens)) or append(tokens, *rest)
    )
    beam_search(context, 4, 32, tokenizer.eos_token_id)
    assert sizes[0] == len(prompts) and sizes == sorted(sizes, reverse=True)
    assert len(sizes) < 31 and sizes[-1] < len(prompts)


def test_greedy_ends_a_row_when_it_is_told_to(trained, tokenizer, paper):
    prompts = encode(tokenizer, paper, 2)
    whole = ours(trained, tokenizer, prompts, Decoding(1, 32), 6)
    context = read_prompts(trained, compute_head(trained, []), prompts)
    cut = greedy(context, 32, tokenizer.eos_token_id, lambda ids: len(ids) == 3)
    assert cut == [ids[:3] for ids in whole]


def test_the_head_is_what_all_prompts_share_but_a_last_token():
    assert shared_head([[1, 2, 3, 4], [1, 2, 5], [1, 2, 3, 9]]) == [1, 2]
    assert shared_head([[1, 2], [1, 2, 3]]) == [1]
    assert shared_head([[7, 8, 9]]) == [7, 8]
    assert shared_head([[1], [2]]) == []


def test_half_precision_differs_by_no_more_than_its_rounding(trained, tokenizer, paper):
    prompts = encode(tokenizer, paper, 2)
    half = make_model(tokenizer, paper, steps=0).bfloat16()
    half.load_state_dict(trained.state_dict())
    head = compute_head(half, shared_head(prompts))
    padded = read_prompts(half, head, prompts).logits
    alone = torch.cat([read_prompts(half, compute_head(half, []), [p]).logits for p in prompts])
    exact = read_prompts(trained, compute_head(trained, []), prompts).logits
    assert (padded - alone).abs().max() <= 2 * (alone - exact).abs().max()
