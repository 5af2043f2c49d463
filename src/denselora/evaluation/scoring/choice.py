"""scoring=choice: the words that a row offers are ranked by log-likelihood, without decoding."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from datasets import Dataset
from torch import nn

from denselora.evaluation.answer_tokens import answer_ids
from denselora.evaluation.context import Context, Head, read_prompts, shared_head
from denselora.evaluation.prepacked import Prepacked
from denselora.evaluation.scoring.batched import BatchedScoring, Question
from denselora.evaluation.scoring.scoring import Prediction
from denselora.tasks import Benchmark


@dataclass(frozen=True)
class ChoiceQuestion(Question):
    """A question, and what may follow it: each word, and the ids in which it differs from others.

    The ids that all words begin with belong to the question.
    """

    words: tuple[str, ...]
    tails: list[list[int]]


class Choice(BatchedScoring):
    """Takes the likeliest of the words that a row offers."""

    name = "choice"
    room = 0

    @classmethod
    def unfit(cls, benchmark: Benchmark) -> str | None:
        if benchmark.answers:
            return None
        return (
            f"the answers of {benchmark.name} are numbers, there are none to choose from; use "
            "scoring=generate"
        )

    @classmethod
    def prepared(cls, model: nn.Module) -> AbstractContextManager:
        return Prepacked(model)

    def questions(self, rows: Dataset) -> list[ChoiceQuestion]:
        tokenizer = self.respondent.tokenizer
        prompts = [self.respondent.protocol.evaluation_prompt(row) for row in rows]
        known: dict[tuple[str, ...], list[list[int]]] = {}
        questions = []
        asked = zip(prompts, tokenizer(prompts)["input_ids"], rows, strict=True)
        for number, (prompt, ids, row) in enumerate(asked):
            words = self.benchmark.options(row["instruction"])
            answers = known.setdefault(words, answer_ids(tokenizer, words))
            shared = shared_head(answers)
            tails = [answer[len(shared) :] for answer in answers]
            whole = ids + shared
            questions.append(ChoiceQuestion(number, prompt, row["answer"], whole, words, tails))
        return questions

    def answer(self, head: Head, questions: Sequence[ChoiceQuestion]) -> list[Prediction]:
        prompts = [question.ids for question in questions]
        context = read_prompts(self.respondent.model, head, prompts)
        sums = log_likelihoods(context, [question.tails for question in questions])
        return [
            self.ranked(one.number, one.prompt, one.gold, one.words, self.compared(one, nats))
            for one, nats in zip(questions, sums, strict=True)
        ]

    def compared(self, question: ChoiceQuestion, nats: Sequence[float]) -> Sequence[float]:
        """What the words are ranked by, from the log-likelihoods of their tails."""
        return nats


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
