"""Ranking a row's answer words by their log-likelihood, without decoding."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerBase

from denselora.evaluation.context import Context
from denselora.tasks import SENTENCE


def answer_ids(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> list[list[int]]:
    """Token ids of the answer sentence with each word, tokenised apart from the prompt.

    Jointly, a prompt's trailing spaces would merge with the sentence's first letters, which makes
    other tokens than decoding after the prompt does.
    """
    sentences = [SENTENCE.format(word) for word in words]
    return tokenizer(sentences, add_special_tokens=False)["input_ids"]


def common(answers: Sequence[Sequence[int]]) -> int:
    """How many tokens the answers share at their beginning, short of any answer's last one."""
    first, last = min(answers), max(answers)
    longest = min(map(len, answers)) - 1
    shared = 0
    while shared < longest and first[shared] == last[shared]:
        shared += 1
    return shared


@torch.no_grad()
def log_likelihoods(
    context: Context, tails: Sequence[Sequence[Sequence[int]]]
) -> list[list[float]]:
    """Log-likelihood in nats of each row's tails after its prompt.

    tails: for each row, the ids in which its answers differ; the tokens they share belong to the
    prompt, since they add the same to each. Where every tail is one token, the logits after the
    prompt are enough. Longer tails are appended side by side, each seeing itself alone, and every
    token of theirs is counted.
    """
    device = context.logits.device
    after_prompt = context.logits.log_softmax(-1)
    sums = [[after_prompt[row, tail[0]] for tail in each] for row, each in enumerate(tails)]
    width = max(sum(len(tail) - 1 for tail in each) for each in tails)
    if width:
        tokens = torch.zeros(len(tails), width, dtype=torch.long)
        depth = torch.zeros(len(tails), width, dtype=torch.long)
        ancestors = torch.eye(width, dtype=torch.bool).repeat(len(tails), 1, 1)
        starts = []
        for row, each in enumerate(tails):
            at = 0
            for tail in each:
                n = len(tail) - 1
                tokens[row, at : at + n] = torch.tensor(tail[:-1])
                depth[row, at : at + n] = torch.arange(n)
                ancestors[row, at : at + n, at : at + n] = torch.ones(n, n).tril().bool()
                starts.append(at)
                at += n
        logits = context.append(tokens.to(device), ancestors.to(device), depth.to(device))
        log_probs = logits.log_softmax(-1)
        place = iter(starts)
        for row, each in enumerate(tails):
            for number, tail in enumerate(each):
                at = next(place)
                for step, token in enumerate(tail[1:]):
                    sums[row][number] = sums[row][number] + log_probs[row, at + step, token]
    return [torch.stack(each).tolist() for each in sums]
