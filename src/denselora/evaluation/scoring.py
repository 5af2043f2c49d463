"""The ways to an answer: decode it (generate), or rank the answer words (choice)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from datasets import Dataset
from torch import nn
from transformers import GenerationConfig, PreTrainedTokenizerBase

from denselora.errors import UserError
from denselora.evaluation import judge
from denselora.evaluation.choice import answer_ids, common, log_likelihoods
from denselora.evaluation.context import Context, Head, read_prompts
from denselora.evaluation.decode import beam_search, decode_texts, generation_config, greedy
from denselora.protocol import Protocol
from denselora.tasks import Benchmark


@dataclass(frozen=True)
class Question:
    """A row as the model is asked it.

    number: its place in the list of rows. ids: what the model reads. words and tails: the options
    and the ids in which they differ, under scoring "choice".
    """

    number: int
    prompt: str
    gold: str
    ids: list[int]
    words: tuple[str, ...] = ()
    tails: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True)
class Scoring:
    """How rows of any benchmark are answered by one model.

    kind: generate or choice; lm-eval, the harness's ranking, goes by second_opinion.py.
    """

    kind: str
    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    protocol: Protocol

    @property
    def decoding(self) -> GenerationConfig | None:
        """Every decoding field; None where nothing is decoded."""
        if self.kind != "generate":
            return None
        return generation_config(self.protocol.decoding, self.tokenizer)

    @property
    def room(self) -> int:
        """Tokens that a row may need beside its prompt."""
        decoding = self.protocol.decoding
        return 0 if self.kind != "generate" else decoding.num_beams * decoding.max_new_tokens

    def questions(self, benchmark: Benchmark, rows: Dataset) -> list[Question]:
        """The rows as the model is asked them, in their order."""
        prompts = [self.protocol.evaluation_prompt(row) for row in rows]
        encoded = self.tokenizer(prompts)["input_ids"]
        asked = zip(prompts, encoded, rows, strict=True)
        if self.kind == "generate":
            return [
                Question(number, prompt, row["answer"], ids)
                for number, (prompt, ids, row) in enumerate(asked)
            ]
        if not benchmark.answers:
            raise UserError(
                f"scoring=choice: the answers of {benchmark.name} are numbers, there are none to "
                "choose from; use scoring=generate"
            )
        known: dict[tuple[str, ...], list[list[int]]] = {}
        questions = []
        for number, (prompt, ids, row) in enumerate(asked):
            words = benchmark.options(row["instruction"])
            answers = known.setdefault(words, answer_ids(self.tokenizer, words))
            shared = common(answers)
            tails = [answer[shared:] for answer in answers]
            whole = ids + answers[0][:shared]
            questions.append(Question(number, prompt, row["answer"], whole, words, tails))
        return questions

    def answer(
        self, benchmark: Benchmark, head: Head, questions: Sequence[Question]
    ) -> list[dict[str, Any]]:
        """A prediction for each of the questions, computed as one batch."""
        prompts = [question.ids for question in questions]
        context = read_prompts(self.model, head, prompts, self._draft(benchmark))
        if self.kind == "choice":
            sums = log_likelihoods(context, [question.tails for question in questions])
            return [
                self._chosen(benchmark, question, values)
                for question, values in zip(questions, sums, strict=True)
            ]
        texts = self._decoded(benchmark, context)
        return [
            self._written(benchmark, question, text)
            for question, text in zip(questions, texts, strict=True)
        ]

    def _draft(self, benchmark: Benchmark) -> list[int]:
        """What a trained model begins its answers with; nothing unless decoding is greedy."""
        decoding = self.protocol.decoding
        if self.kind != "generate" or decoding.num_beams > 1 or not benchmark.answers:
            return []
        answers = answer_ids(self.tokenizer, benchmark.answers)
        return answers[0][: min(common(answers), decoding.max_new_tokens - 1)]

    def _decoded(self, benchmark: Benchmark, context: Context) -> list[str]:
        decoding, eos = self.protocol.decoding, self.tokenizer.eos_token_id
        if decoding.num_beams > 1:
            made = beam_search(context, decoding.num_beams, decoding.max_new_tokens, eos)
            return decode_texts(self.tokenizer, made)

        def settled(ids: list[int]) -> bool:
            text = decode_texts(self.tokenizer, [ids])[0]
            return benchmark.settled(text, self.protocol.whole_word_answers)

        return decode_texts(self.tokenizer, greedy(context, decoding.max_new_tokens, eos, settled))

    def _written(self, benchmark: Benchmark, question: Question, text: str) -> dict[str, Any]:
        whole_word = self.protocol.whole_word_answers
        named = sorted(benchmark.named(text, whole_word))
        parsed = benchmark.read(text, whole_word)
        return _evidence(benchmark, question, text, parsed) | {"named": named}

    def _chosen(
        self, benchmark: Benchmark, question: Question, values: Sequence[float]
    ) -> dict[str, Any]:
        best = max(range(len(values)), key=values.__getitem__)
        parsed = question.words[best]
        scores = {word: round(value, 4) for word, value in zip(question.words, values, strict=True)}
        return _evidence(benchmark, question, parsed, parsed) | {"log_likelihood_nats": scores}


def _evidence(
    benchmark: Benchmark, question: Question, raw: str, parsed: str | None
) -> dict[str, Any]:
    return {
        "id": question.number,
        "prompt_hash": judge.prompt_hash(question.prompt),
        "raw": raw,
        "parsed": parsed,
        "gold": question.gold,
        "correct": benchmark.is_right(parsed, question.gold),
    }
