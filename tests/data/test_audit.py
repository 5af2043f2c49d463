"""The audit on folders whose faults were put there on purpose."""

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from denselora.data.audit import OVERLAP, audit, normalise, overlap_json, read_overlap, report
from denselora.errors import UserError
from denselora.protocol import Decoding, Prompt, Protocol
from tests.tiny import write_model

TEMPLATE = "Q: {instruction} A: "
PROTOCOL = Protocol(
    name="short",
    version=1,
    prompt=Prompt(TEMPLATE + "{output}", TEMPLATE + "{output}", TEMPLATE, TEMPLATE),
    train_on_prompt=True,
    loss_reduction="token_mean",
    cutoff=60,
    overlong="cut",
    decoding=Decoding(num_beams=1, max_new_tokens=8),
    whole_word_answers=False,
)


def row(question: str, answer: str, output: str | None = None) -> dict[str, str]:
    return {
        "instruction": f"{question}\n\nAnswer format: answer1/answer2/answer3/answer4",
        "input": "",
        "output": output or f"the correct answer is {answer}",
        "answer": answer,
    }


def write(file: Path, rows: list[dict[str, str]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rows))
    return file


@pytest.fixture
def folder(tmp_path) -> Path:
    tests = [
        row("What is ice?", "answer1"),
        row("Where is up?", "answer2"),
        row("Where is up?", "answer2"),  # row 3: repeated
        row("Who ran?", "answer3"),  # 4 and 5: conflicting
        row("Who ran?", "answer4"),
        row("Which fifth?", "answer5"),  # 6: unusual gold
        row("Why so?", "answer1", "I would say answer2"),  # 7: misread
    ]
    training = [
        row("What is ice?", "answer1"),
        row("where IS  up", "answer1"),
        row("Where is down?", "answer1"),
        row("A long one: " + "word " * 200, "answer1"),
    ]
    write(tmp_path / "ARC-Easy" / "test.json", tests)
    write(tmp_path / "train.json", training)
    return tmp_path


def test_faults_of_a_test_set_are_found_by_row(folder):
    (found,) = audit(folder, PROTOCOL).tests
    assert found.benchmark.name == "ARC-Easy"
    assert found.content.rows == 7
    assert found.content.repeated == [3]
    assert found.content.conflicting == [4, 5]
    assert found.unusual == [6]
    assert found.misread == [7]
    assert dict(found.golds) == {
        "answer1": 2, "answer2": 2, "answer3": 1, "answer4": 1, "answer5": 1,
    }  # fmt: skip


def test_overlap_is_exact_or_normalised_and_tells_other_answers(folder):
    (found,) = audit(folder, PROTOCOL).overlaps
    assert found.exact == [1]
    assert found.normalised == [1, 2, 3]
    assert found.other_gold == [2, 3]


def test_normalising_takes_away_case_punctuation_and_spacing_alone():
    assert normalise(" What's  up,\nDoc? ") == "what s up doc"
    assert normalise("the _ is 3") == "the _ is 3"
    assert normalise("Ünder 3") != normalise("Under 3")


def test_rows_beyond_the_cutoff_are_counted_with_a_tokenizer_only(folder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(write_model(tmp_path / "model"))
    texts = [PROTOCOL.training_text(one) for one in json.loads((folder / "train.json").read_text())]
    lengths = [len(tokenizer(prompt + answer)["input_ids"]) for prompt, answer in texts]
    expected = sum(length > PROTOCOL.cutoff for length in lengths)
    assert 0 < expected < len(texts)
    findings = audit(folder, PROTOCOL, tokenizer)
    assert findings.overlong == {folder / "train.json": expected}
    assert "Counting needs the model's tokenizer" in report(audit(folder, PROTOCOL))


def test_the_report_shows_each_finding(folder):
    text = report(audit(folder, PROTOCOL))
    assert "| ARC-e | 7 | 2,376 |" in text
    assert "| 1 (row 3) | 2 (row 4, 5) | 1 (row 6) | 1 (row 7) |" in text
    assert "| train.json | ARC-e | 1 | 3 (row 1, 2, 3) | 2 (row 2, 3) | 42.86 % |" in text
    assert "answer1/answer2/answer3/answer4 4" in text


def test_a_folder_without_training_files_is_audited_too(folder):
    (folder / "train.json").unlink()
    assert "None in this folder." in report(audit(folder, PROTOCOL))


def test_json_beside_the_rows_that_holds_none_is_passed_over(folder):
    before = len(audit(folder, PROTOCOL).training)
    for name in ("neutral.json", "differences.json"):
        (folder / name).write_text('["a statement"]')
    assert len(audit(folder, PROTOCOL).training) == before


def test_numbers_are_checked_where_numbers_are_due(tmp_path):
    rows = [
        {"instruction": "1+1?", "input": "", "output": "It is 2.", "answer": "2.0"},
        {"instruction": "1+2?", "input": "", "output": "", "answer": "3.0"},
        {"instruction": "1+3?", "input": "", "output": "It is 4.", "answer": "four"},
    ]
    write(tmp_path / "AddSub" / "test.json", rows)
    findings = audit(tmp_path, PROTOCOL)
    assert findings.tests[0].unusual == [3]
    assert findings.tests[0].misread == [2]
    assert "AddSub: math_10k holds test rows" in report(findings)


def test_the_overlap_file_gives_row_numbers_from_0_to_leave_out(folder):
    (folder / OVERLAP).write_text(overlap_json(audit(folder, PROTOCOL)))
    tests = [folder / "ARC-Easy" / "test.json"]
    assert read_overlap(folder / OVERLAP, folder, "train.json", tests) == {"ARC-Easy": [0, 1, 2]}
    assert audit(folder, PROTOCOL).training[0].file.name == "train.json"  # and isn't read as rows


def test_an_overlap_file_for_other_files_is_refused(folder):
    (folder / OVERLAP).write_text(overlap_json(audit(folder, PROTOCOL)))
    test = folder / "ARC-Easy" / "test.json"
    with pytest.raises(UserError, match=r"knows nothing of the training file other\.json"):
        read_overlap(folder / OVERLAP, folder, "other.json", [test])
    test.write_text(test.read_text() + "\n")
    with pytest.raises(UserError, match=f"was made for another {test}"):
        read_overlap(folder / OVERLAP, folder, "train.json", [test])
    (folder / OVERLAP).write_text(overlap_json(audit(folder, PROTOCOL)))
    training = folder / "train.json"
    training.write_text(training.read_text() + "\n")
    with pytest.raises(UserError, match=f"was made for another {training}"):
        read_overlap(folder / OVERLAP, folder, "train.json", [test])
    for content in ("[]", "{}", '{"overlap": {}, "tests": 1}'):
        (folder / OVERLAP).write_text(content)
        with pytest.raises(
            UserError, match=r"overlap\.json: .*make it anew with `make data-audit`"
        ):
            read_overlap(folder / OVERLAP, folder, "train.json", [test])


def test_a_folder_of_another_shape_is_refused_with_what_was_expected(tmp_path):
    with pytest.raises(UserError, match=r"expected <benchmark>/test\.json"):
        audit(tmp_path, PROTOCOL)
    with pytest.raises(UserError, match="no such folder"):
        audit(tmp_path / "nowhere", PROTOCOL)


def test_the_script_writes_report_and_overlap(folder, script):
    output = folder / "out" / "audit.md"
    code, out, err = script("audit_data", folder, "--output", output, "--overlap")
    assert code == 0, err
    assert output.read_text() in out
    assert json.loads((folder / OVERLAP).read_text())["overlap"]["train.json"]["ARC-Easy"]


def test_the_script_exits_2_with_one_line_on_a_malformed_row(folder, script):
    write(folder / "train.json", [{"instruction": "no more"}])
    code, _, err = script("audit_data", folder, "--overlap")
    assert code == 2
    assert err == f"error: {folder}/train.json: row 1 has no field 'output'; add it\n"
    assert not (folder / OVERLAP).exists()
