"""scoring=lm-eval: EleutherAI's lm-evaluation-harness ranks the words, a second opinion on choice.

An optional package. The harness's template makes the prompts, its batches and log-likelihoods rank
the options. Where a prompt ends and its answer begins is ours: the harness would move the prompt's
trailing spaces to the answer and tokenise the two jointly, which makes other tokens than decoding
after the prompt.
"""

from collections.abc import Collection, Iterator
from typing import Any

from accelerate import PartialState
from datasets import Dataset

from denselora.evaluation.scoring.scoring import Prediction, Scoring
from denselora.tasks import SENTENCE

BATCH = 16  # sequences, each a prompt with one of its options


class Harness(Scoring):
    """Takes the word that the harness finds likeliest.

    Its log-likelihoods are of the whole answer sentence, those of `choice` of the part in which
    the options differ.
    """

    name = "lm-eval"
    windows = True

    @classmethod
    def lacks(cls) -> str | None:
        if PartialState().num_processes > 1:
            return "one process, for the others would wait without an end: start it without launch"
        try:
            import lm_eval  # noqa: F401
        except ImportError as error:
            return (
                f"lm-evaluation-harness ({error}); install it with "
                "`pip install -c constraints.txt -e .[lm-eval]`"
            )
        return None

    def answers(
        self, rows: Dataset, done: Collection[int], batch_tokens: int
    ) -> Iterator[list[Prediction]]:
        """All rows in one go, by the main process, with the harness's own batches."""
        if PartialState().is_main_process and len(done) < len(rows):
            yield [self._prediction(sample) for sample in self._samples(rows)]

    def _samples(self, rows: Dataset) -> list[dict[str, Any]]:
        """What the harness logs of each row."""
        import lm_eval
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager

        tokenizer, protocol = self.respondent.tokenizer, self.respondent.protocol

        class Separate(HFLM):
            def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
                answer = tokenizer(continuation, add_special_tokens=False)["input_ids"]
                return tokenizer(context)["input_ids"], answer

        def offered(row: dict[str, str]) -> tuple[str, ...]:
            return self.benchmark.options(row["instruction"])

        name = f"denselora_{protocol.name}_{self.benchmark.name}"
        task = {
            "task": name,
            "output_type": "multiple_choice",
            "custom_dataset": lambda **_: {"test": rows},
            "test_split": "test",
            "doc_to_text": protocol.evaluation_prompt,
            "doc_to_choice": lambda row: [SENTENCE.format(word) for word in offered(row)],
            "doc_to_target": lambda row: offered(row).index(row["answer"]),
            "target_delimiter": "",  # the prompt ends in the white space that it ends in
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
            "metadata": {"version": 1},
        }
        results = lm_eval.simple_evaluate(
            model=Separate(pretrained=self.respondent.model, tokenizer=tokenizer, batch_size=BATCH),
            tasks=[task],
            task_manager=TaskManager(include_defaults=False),  # thousands of files, none needed
            num_fewshot=0,
            bootstrap_iters=0,
            log_samples=True,
        )
        return sorted(results["samples"][name], key=lambda sample: sample["doc_id"])

    def _prediction(self, sample: dict[str, Any]) -> Prediction:
        prompt, _ = sample["arguments"][0]
        row = sample["doc"]
        nats = [float(response[0]) for response in sample["filtered_resps"]]
        words = self.benchmark.options(row["instruction"])
        return self.ranked(sample["doc_id"], prompt, row["answer"], words, nats)
