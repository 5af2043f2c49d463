import json

import pytest
import torch

from denselora.errors import UserError
from denselora.evaluation.answer_tokens import answer_ids
from denselora.evaluation.context import Head, compute_head, read_prompts, shared_head
from denselora.evaluation.scoring import Choice
from denselora.evaluation.scoring.choice import log_likelihoods
from denselora.tasks import benchmark
from tests.evaluation.models import LAYOUTS, full_log_likelihood, make_rows


def test_scores_that_are_not_finite_are_no_answer(respondent):
    choice = Choice(respondent, benchmark("boolq"))
    for nats in ([float("nan"), -1.0], [-1.0, float("inf")], [-float("inf"), -1.0]):
        with pytest.raises(UserError, match="row 7: log-likelihoods that aren't finite"):
            choice.ranked(7, "", "true", ("true", "false"), nats)


def differences(values):
    return [value - values[0] for value in values]


def test_ranks_like_the_full_log_likelihood(trained, tokenizer, paper):
    rows = [row for name in LAYOUTS for row in make_rows(name, 4, seed=2)]
    words = [row["instruction"].split("Answer format: ")[1].split("/") for row in rows]
    prompts = [tokenizer(paper.evaluation_prompt(row))["input_ids"] for row in rows]
    answers = [answer_ids(tokenizer, each) for each in words]
    shared = [len(shared_head(each)) for each in answers]
    asked = [p + a[0][:n] for p, a, n in zip(prompts, answers, shared, strict=True)]
    context = read_prompts(trained, compute_head(trained, shared_head(asked)), asked)
    tails = [[ids[n:] for ids in each] for each, n in zip(answers, shared, strict=True)]
    for row, values in enumerate(log_likelihoods(context, tails)):
        full = [full_log_likelihood(trained, prompts[row], each) for each in answers[row]]
        torch.testing.assert_close(
            torch.tensor(differences(values)), torch.tensor(differences(full)), atol=1e-4, rtol=0
        )


def test_tails_of_several_tokens_count_in_full(trained, tokenizer, paper):
    rows = make_rows("boolq", 3, seed=3)
    prompts = [tokenizer(paper.evaluation_prompt(row))["input_ids"] for row in rows]
    tails = [[[5, 6, 7], [5, 9], [8]], [[4], [9]], [[11, 12], [13, 14, 15, 16]]]
    context = read_prompts(trained, compute_head(trained, shared_head(prompts)), prompts)
    for row, values in enumerate(log_likelihoods(context, tails)):
        full = [full_log_likelihood(trained, prompts[row], tail) for tail in tails[row]]
        torch.testing.assert_close(torch.tensor(values), torch.tensor(full), atol=1e-4, rtol=0)


def test_one_forward_pass_where_answers_part_at_their_last_token(trained, tokenizer, paper):
    prompt = tokenizer(paper.evaluation_prompt(make_rows("piqa", 1)[0]))["input_ids"]
    context = read_prompts(trained, compute_head(trained, []), [prompt])
    context.append = None  # a second pass would fail
    assert len(log_likelihoods(context, [[[5], [6]]])[0]) == 2


def test_choice_picks_the_likeliest_word(respondent):
    scoring = Choice(respondent, benchmark("boolq"))
    rows = make_rows("boolq", 9, seed=4)
    for row in scoring.answer(Head([], []), scoring.questions(rows)):
        scores = row["log_likelihood_nats"]
        assert row["parsed"] == max(scores, key=scores.get) and set(scores) == {"true", "false"}
        json.dumps(row)


def test_numbers_cannot_be_chosen():
    with pytest.raises(UserError, match="numbers"):
        Choice.check(benchmark("gsm8k"))
