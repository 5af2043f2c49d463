"""EleutherAI's lm-evaluation-harness on the same rows, for scoring=lm-eval; an optional package.

The harness's template makes the prompts, its batches and log-likelihoods rank the options. Where a
prompt ends and its answer begins is ours: the harness would move the prompt's trailing spaces to
the answer and tokenise the two jointly, which makes other tokens than decoding after the prompt.
"""

from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from denselora.errors import UserError
from denselora.evaluation import judge
from denselora.protocol import Protocol
from denselora.tasks import SENTENCE, Benchmark

BATCH = 16  # sequences, each a prompt with one of its options


def check_installed() -> None:
    """Raise UserError unless the harness can be imported."""
    try:
        import lm_eval  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"scoring=lm-eval needs lm-evaluation-harness ({error}); install it with "
            "`pip install -c constraints.txt -e .[lm-eval]`"
        ) from None


def predict(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    protocol: Protocol,
    benchmark: Benchmark,
    rows: Dataset,
) -> list[dict[str, Any]]:
    """The harness's answer to each of the rows, with the evidence that `choice` keeps.

    Its log-likelihoods are of the whole answer sentence, those of `choice` of the part in which
    the options differ.
    """
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    class Separate(HFLM):
        def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
            answer = tokenizer(continuation, add_special_tokens=False)["input_ids"]
            return tokenizer(context)["input_ids"], answer

    def offered(row: dict[str, str]) -> tuple[str, ...]:
        return benchmark.options(row["instruction"])

    name = f"denselora_{protocol.name}_{benchmark.name}"
    task = {
        "task": name,
        "output_type": "multiple_choice",
        "custom_dataset": lambda **_: {"test": rows},
        "test_split": "test",
        "doc_to_text": _jinja(protocol),
        "doc_to_choice": lambda row: [SENTENCE.format(word) for word in offered(row)],
        "doc_to_target": lambda row: offered(row).index(row["answer"]),
        "target_delimiter": "",  # the prompt ends in the white space that it ends in
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1},
    }
    results = lm_eval.simple_evaluate(
        model=Separate(pretrained=model, tokenizer=tokenizer, batch_size=BATCH),
        tasks=[task],
        task_manager=TaskManager(include_defaults=False),  # thousands of files, none needed
        num_fewshot=0,
        bootstrap_iters=0,
        log_samples=True,
    )
    samples = sorted(results["samples"][name], key=lambda sample: sample["doc_id"])
    return [_evidence(benchmark, sample) for sample in samples]


def _jinja(protocol: Protocol) -> str:
    """The protocol's evaluation prompt as the harness's template."""
    plain, given = (
        template.replace("{instruction}", "{{ instruction }}").replace("{input}", "{{ input }}")
        for template in (protocol.prompt.evaluate, protocol.prompt.evaluate_with_input)
    )
    return "{% if input %}" + given + "{% else %}" + plain + "{% endif %}"


def _evidence(benchmark: Benchmark, sample: dict[str, Any]) -> dict[str, Any]:
    prompt, _ = sample["arguments"][0]
    words = benchmark.options(sample["doc"]["instruction"])
    values = [float(response[0]) for response in sample["filtered_resps"]]
    parsed = words[max(range(len(values)), key=values.__getitem__)]
    gold = sample["doc"]["answer"]
    return {
        "id": sample["doc_id"],
        "prompt_hash": judge.prompt_hash(prompt),
        "raw": parsed,
        "parsed": parsed,
        "gold": gold,
        "correct": benchmark.is_right(parsed, gold),
        "log_likelihood_nats": {
            word: round(value, 4) for word, value in zip(words, values, strict=True)
        },
    }
