"""scoring=generate: the answer is decoded as the protocol says, and read."""

from collections.abc import Sequence

from datasets import Dataset
from transformers import GenerationConfig

from denselora.evaluation.answer_tokens import answer_ids
from denselora.evaluation.context import Context, Head, read_prompts, shared_head
from denselora.evaluation.decode import beam_search, decode_texts, generation_config, greedy
from denselora.evaluation.respondent import Respondent
from denselora.evaluation.scoring.batched import BatchedScoring, Question
from denselora.evaluation.scoring.scoring import Prediction


class Generate(BatchedScoring):
    """Decodes and reads what was written."""

    name = "generate"

    @classmethod
    def decoding(cls, respondent: Respondent) -> GenerationConfig:
        return generation_config(respondent.protocol.decoding, respondent.tokenizer)

    @property
    def room(self) -> int:
        decoding = self.respondent.protocol.decoding
        return decoding.num_beams * decoding.max_new_tokens

    def questions(self, rows: Dataset) -> list[Question]:
        prompts = [self.respondent.protocol.evaluation_prompt(row) for row in rows]
        encoded = self.respondent.tokenizer(prompts)["input_ids"]
        asked = zip(prompts, encoded, rows, strict=True)
        return [
            Question(number, prompt, row["answer"], ids)
            for number, (prompt, ids, row) in enumerate(asked)
        ]

    def answer(self, head: Head, questions: Sequence[Question]) -> list[Prediction]:
        prompts = [question.ids for question in questions]
        context = read_prompts(self.respondent.model, head, prompts, self._draft())
        texts = self._decoded(context)
        return [self._read(question, text) for question, text in zip(questions, texts, strict=True)]

    def _draft(self) -> list[int]:
        """What a trained model begins its answers with; nothing unless decoding is greedy."""
        decoding = self.respondent.protocol.decoding
        if decoding.num_beams > 1 or not self.benchmark.answers:
            return []
        answers = answer_ids(self.respondent.tokenizer, self.benchmark.answers)
        return shared_head(answers)[: decoding.max_new_tokens - 1]

    def _decoded(self, context: Context) -> list[str]:
        protocol, tokenizer = self.respondent.protocol, self.respondent.tokenizer
        decoding, eos = protocol.decoding, tokenizer.eos_token_id
        if decoding.num_beams > 1:
            made = beam_search(context, decoding.num_beams, decoding.max_new_tokens, eos)
            return decode_texts(tokenizer, made)

        def settled(ids: list[int]) -> bool:
            text = decode_texts(tokenizer, [ids])[0]
            return self.benchmark.settled(text, protocol.whole_word_answers)

        return decode_texts(tokenizer, greedy(context, decoding.max_new_tokens, eos, settled))

    def _read(self, question: Question, text: str) -> Prediction:
        whole_word = self.respondent.protocol.whole_word_answers
        parsed = self.benchmark.read(text, whole_word)
        kept = self.prediction(question.number, question.prompt, question.gold, text, parsed)
        return kept | {"named": sorted(self.benchmark.named(text, whole_word))}
