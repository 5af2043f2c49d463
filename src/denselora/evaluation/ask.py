"""Single questions to a model: prompt, answer, and how likely each option is."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from denselora.compatibility import check_prompts
from denselora.errors import UserError, first_line
from denselora.evaluation.context import Head
from denselora.evaluation.respondent import Respondent
from denselora.evaluation.scoring import Choice, Generate
from denselora.evaluation.scoring.batched import BatchedScoring
from denselora.readers import KINDS, decoded
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


class Question(Benchmark):
    """One that offers the same words whatever its instruction names."""

    def options(self, instruction: str) -> tuple[str, ...]:
        return self.answers


def ask(respondent: Respondent, row: dict[str, str], words: Sequence[str] = ()) -> Answer:
    """Ask one question: `instruction` and `input` of a row; what else is in it isn't looked at.

    words: the options; by default those of the instruction's "Answer format: a/b/c", if any.
    Raises UserError for one that is named twice.
    """
    text = {"instruction": row["instruction"], "input": row["input"]}
    words = tuple(words) or offered(text["instruction"])
    if len(set(words)) < len(words):
        raise UserError(f"options={','.join(words)}: each one once")
    question = Question(
        name="question",
        label="question",
        test_rows=1,
        answers=words,
        chance=1 / max(1, len(words)),
    )
    rows = [text | {"answer": "0"}]  # no gold is asked for
    prompt = respondent.protocol.evaluation_prompt(rows[0])
    base = respondent.model.config
    room = respondent.protocol.decoding.max_new_tokens
    check_prompts(base, respondent.tokenizer, [prompt], room)
    written = _answer(Generate(respondent, question), rows)
    if not words:
        return Answer(prompt, written["raw"], None, {})
    nats = _answer(Choice(respondent, question), rows)["log_likelihood_nats"]
    shares = torch.tensor(list(nats.values())).softmax(0).tolist()
    return Answer(prompt, written["raw"], written["parsed"], dict(zip(nats, shares, strict=True)))


def _answer(scoring: BatchedScoring, rows: list[dict[str, str]]) -> dict[str, Any]:
    (answer,) = scoring.answer(Head([], []), scoring.questions(rows))
    return answer


def read_questions(lines: Iterable[bytes]) -> Iterator[dict[str, str]]:
    """Questions, as instruction and input, from lines of UTF-8 text as they come: each a plain
    question, with \\n for a line break, or a row as JSON; a whole test file (a JSON list), and rows
    over several lines, are read as well.

    Raises UserError, naming the line, for other text and for a row without an instruction.
    """
    lines = iter(lines)
    for number, line in enumerate(lines, start=1):
        text = _text(line, number)
        if not text.strip():
            continue
        if text.lstrip()[0] in "[{":
            # a row on its line is answered at once; else the rest belongs together
            if not _is_json(text):
                text += _text(b"".join(lines), number + 1)
            yield from _rows(text, number)
        else:
            yield {"instruction": text.rstrip("\r\n").replace("\\n", "\n"), "input": ""}


def _text(content: bytes, number: int) -> str:
    return decoded(content, f"standard input, line {number}", "pipe it again")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _rows(text: str, number: int) -> Iterator[dict[str, str]]:
    """The rows of JSON that begins in a line: rows, or lists of them, one after the other."""
    at = 0
    while rest := text[at:].lstrip():
        at = len(text) - len(rest)
        line = number + text[:at].count("\n")
        try:
            content, at = json.JSONDecoder().raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            if isinstance(error, json.JSONDecodeError):
                line = number + error.lineno - 1
            raise UserError(
                f"standard input, line {line}: malformed JSON ({first_line(error)}); a question "
                "that begins with a bracket must be a row or a list of rows"
            ) from None
        for row in content if isinstance(content, list) else [content]:
            yield _row(row, line)


def _row(row: Any, line: int) -> dict[str, str]:
    where = f"standard input, line {line}"
    if not isinstance(row, dict) or not row.get("instruction"):
        raise UserError(f"{where}: a row without an instruction; add it")
    asked = {field: row.get(field, "") for field in ("instruction", "input")}
    for field, value in asked.items():
        if not isinstance(value, str):
            raise UserError(
                f"{where}: field {field!r} is {KINDS[type(value)]}, expected text; fix it"
            )
    return asked
