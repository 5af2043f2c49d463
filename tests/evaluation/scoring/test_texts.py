import pytest
from datasets import Dataset

from denselora.errors import UserError
from denselora.evaluation.scoring import Texts
from denselora.tasks import benchmark
from tests.evaluation.models import full_log_likelihood


def answered(respondent, name, rows):
    scoring = Texts(respondent, benchmark(name))
    batches = scoring.answers(Dataset.from_list(rows), (), 4096)
    return sorted((one for batch in batches for one in batch), key=lambda one: one["id"])


def test_an_options_text_counts_by_its_likelihood_per_byte(respondent, trained, tokenizer):
    piqa = benchmark("piqa")
    rows = [
        piqa.row("the cat runs?", ("under the big house", "dog"), 0),
        piqa.row("tree?", ("stone", "blue river in of"), 1),
    ]
    asked = [
        ("the cat runs?", ("under the big house", "dog")),
        ("tree?", ("stone", "blue river in of")),
    ]
    for (question, options), found in zip(asked, answered(respondent, "piqa", rows), strict=True):
        prompt = tokenizer(f"Question: {question}\nAnswer:")["input_ids"]
        for word, option in zip(("solution1", "solution2"), options, strict=True):
            ids = tokenizer(f" {option}", add_special_tokens=False)["input_ids"]
            by_hand = full_log_likelihood(trained, prompt, ids) / len(f" {option}".encode())
            assert found["log_likelihood_nats"][word] == pytest.approx(by_hand, abs=1e-3)
        best = max(found["log_likelihood_nats"], key=found["log_likelihood_nats"].get)
        assert found["parsed"] == best and found["correct"] == (best == found["gold"])


def test_a_sentence_to_be_ended_stands_without_any_word_around_it(respondent):
    hellaswag = benchmark("hellaswag")
    row = hellaswag.row("Running: the dog", ("runs", "a", "b", "c"), 0)
    scoring = Texts(respondent, hellaswag)
    (question,) = scoring.questions(Dataset.from_list([row]))
    assert respondent.tokenizer.decode(question.ids).endswith("Running: the dog")
    # what is kept tells its row as those of the other scorings do
    assert question.prompt == respondent.protocol.evaluation_prompt(row)


def test_what_has_no_texts_or_is_worded_otherwise_is_an_error(respondent):
    with pytest.raises(UserError, match="boolq has no texts of options"):
        Texts.check(benchmark("boolq"))
    row = benchmark("piqa").row("tree?", ("a", "b"), 0)
    other = row | {"instruction": row["instruction"].replace("Solution2", "Solution 2")}
    with pytest.raises(UserError, match="piqa row 1 isn't worded as the published"):
        answered(respondent, "piqa", [row, other])
