"""Single questions to a model: prompt, answer, and how likely each option is."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from denselora.compatibility import check_prompts
from denselora.data.rows import FIELDS
from denselora.errors import UserError
from denselora.evaluation.context import Head
from denselora.evaluation.respondent import Respondent
from denselora.evaluation.scoring import Choice, Generate
from denselora.evaluation.scoring.batched import BatchedScoring
from denselora.tasks import Benchmark, offered


@dataclass(frozen=True)
class Answer:
    """What the model was given, what it wrote, the answer word in it, and the probability of each
    option among the options.
    """

    prompt: str
    text: str
    parsed: str | None
    probabilities: dict[str, float]


def ask(respondent: Respondent, row: dict[str, str], words: Sequence[str] = ()) -> Answer:
    """Ask one question: `instruction` and `input` of a row.

    words: the options; by default those of the instruction's "Answer format: a/b/c", if any.
    """
    words = tuple(words) or offered(row["instruction"])
    question = Benchmark(
        name="question",
        label="question",
        test_rows=1,
        answers=words,
        chance=1 / max(1, len(words)),
    )
    rows = [{"answer": "0", **row}]
    prompt = respondent.protocol.evaluation_prompt(rows[0])
    base = respondent.model.config
    room = respondent.protocol.decoding.max_new_tokens
    check_prompts(base, base.name_or_path, respondent.tokenizer, [prompt], room)
    written = _answer(Generate(respondent, question), rows)
    if not words:
        return Answer(prompt, written["raw"], None, {})
    nats = _answer(Choice(respondent, question), rows)["log_likelihood_nats"]
    shares = torch.tensor(list(nats.values())).softmax(0).tolist()
    return Answer(prompt, written["raw"], written["parsed"], dict(zip(nats, shares, strict=True)))


def _answer(scoring: BatchedScoring, rows: list[dict[str, str]]) -> dict[str, Any]:
    (answer,) = scoring.answer(Head([], []), scoring.questions(rows))
    return answer


def read_questions(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Questions from lines of text: a plain question with \\n for a line break, or a row as JSON; a
    whole test file (a JSON list) is read as well.

    Raises UserError for malformed JSON or a row without an instruction.
    """
    lines = iter(lines)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if line.lstrip().startswith("["):
            yield from (_row(row, number) for row in _json(line + "".join(lines), number))
        elif line.lstrip().startswith("{"):
            yield _row(_json(line, number), number)
        else:
            yield {"instruction": line.rstrip("\r\n").replace("\\n", "\n"), "input": ""}


def _json(text: str, number: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"standard input, line {number}: malformed JSON ({error.msg}); a question that begins "
            "with a bracket must be a row or a list of rows"
        ) from None


def _row(row: Any, number: int) -> dict[str, str]:
    if not isinstance(row, dict) or not isinstance(row.get("instruction"), str):
        raise UserError(f"standard input, line {number}: a row without an instruction; add it")
    return {field: str(row.get(field, "")) for field in FIELDS}
