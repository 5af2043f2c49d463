"""The eight commonsense benchmarks, in the order of the paper's tables.

Answer words: commonsense_evaluate.py of LLM-Adapters, which counts answer5 among ARC's words
(one ARC-Easy row has it as gold). Wording and sizes: LLM-Adapters' test files.
"""

from denselora.tasks.benchmark import Benchmark, numbered
from denselora.tasks.hub import Hub
from denselora.tasks.wording import Wording

_CHOOSE = Wording("Please choose the correct answer to the question: {question}")


def _lettered(stem: str):
    """Hub rows of ARC and OpenBookQA: options with labels (letters, in some ARC rows digits)."""

    def question(row):
        choices = row["choices"]
        return row[stem], choices["text"], choices["label"].index(row["answerKey"])

    return question


COMMONSENSE = (
    Benchmark(
        name="boolq",
        label="BoolQ",
        test_rows=3270,
        answers=("true", "false"),
        chance=1 / 2,
        blob="6d7edb0a8e8a6566b546ccf0d98d24e48db3fdf3",
        wording=Wording(
            "Please answer the following question with true or false, question: {question}",
            plain=None,
        ),
        hub=Hub(
            "google/boolq",
            test="validation",
            question=lambda row: (f"{row['question']}?", (), 0 if row["answer"] else 1),
        ),
    ),
    Benchmark(
        name="piqa",
        label="PIQA",
        test_rows=1838,
        answers=numbered("solution", 2),
        chance=1 / 2,
        blob="f7a1c260692ef31796d4763cb6334f316a754fed",
        wording=Wording(
            "Please choose the correct solution to the question: {question}", between="\n\n"
        ),
        hub=Hub(
            "ybisk/piqa",
            test="validation",
            question=lambda row: (row["goal"], (row["sol1"], row["sol2"]), int(row["label"])),
            # the dataset's own branch is a loading script, which `datasets` no longer runs
            revision="refs/convert/parquet",
        ),
    ),
    Benchmark(
        name="social_i_qa",
        label="SIQA",
        test_rows=1954,
        answers=numbered("answer", 5),
        chance=1 / 3,
        blob="eadf221799ca394367b144c0f86ee0436db409d2",
        wording=_CHOOSE,
        hub=Hub(
            # allenai/social_i_qa is a loading script too; this copy has the same content
            "lighteval/siqa",
            test="validation",
            question=lambda row: (
                f"{row['context']} {row['question']}",
                (row["answerA"], row["answerB"], row["answerC"]),
                int(row["label"]) - 1,
            ),
        ),
    ),
    Benchmark(
        name="hellaswag",
        label="HellaSwag",
        test_rows=10042,
        answers=numbered("ending", 4),
        chance=1 / 4,
        blob="183c4920415f83ba4b793c4873a33e7e10bd1be5",
        wording=Wording(
            "Please choose the correct ending to complete the given sentence: {question}",
            plain="{question}",
        ),
        hub=Hub(
            "Rowan/hellaswag",
            test="validation",
            question=lambda row: (
                f"{row['activity_label']}: {row['ctx']}",
                row["endings"],
                int(row["label"]),
            ),
        ),
    ),
    Benchmark(
        name="winogrande",
        label="WinoGrande",
        test_rows=1267,
        answers=numbered("option", 2),
        chance=1 / 2,
        blob="21257263593dd4d00546e1918c88ca0f357b08ad",
        wording=Wording(
            "Please choose the correct answer to fill in the blank to complete the given "
            "sentence: {question}",
            after=" ",
            plain=None,
        ),
        hub=Hub(
            "allenai/winogrande",
            test="validation",
            question=lambda row: (
                row["sentence"],
                (row["option1"], row["option2"]),
                int(row["answer"]) - 1,
            ),
            configs=tuple(f"winogrande_{size}" for size in ("xs", "s", "m", "l", "xl", "debiased")),
        ),
    ),
    Benchmark(
        name="ARC-Easy",
        label="ARC-e",
        test_rows=2376,
        answers=numbered("answer", 5),
        chance=1 / 4,
        blob="6c0d30aaedaeca148df6bcd7aaacf7c31e6ad70f",
        wording=_CHOOSE,
        hub=Hub("allenai/ai2_arc", "test", _lettered("question"), ("ARC-Easy",)),
    ),
    Benchmark(
        name="ARC-Challenge",
        label="ARC-c",
        test_rows=1172,
        answers=numbered("answer", 5),
        chance=1 / 4,
        blob="9540685439144200b5a7e48dab9ca4655be2af09",
        wording=_CHOOSE,
        hub=Hub("allenai/ai2_arc", "test", _lettered("question"), ("ARC-Challenge",)),
    ),
    Benchmark(
        name="openbookqa",
        label="OBQA",
        test_rows=500,
        answers=numbered("answer", 5),
        chance=1 / 4,
        blob="a6e69676104bcb77237388c3b5a3f0dcbb81d1e2",
        wording=_CHOOSE,
        hub=Hub("allenai/openbookqa", "test", _lettered("question_stem"), ("main",)),
    ),
)
