"""Rebuilding rows from the original datasets, with small local folders standing in for the hub."""

import json
from pathlib import Path

import datasets
import pytest

from denselora.data.download import FetchError
from denselora.data.rebuild import REBUILT, compare, rebuild
from denselora.data.sources import SourceFile, blob_id, published
from denselora.errors import UserError
from denselora.tasks import COMMONSENSE, Benchmark, benchmark

PUBLISHED = [one for one in COMMONSENSE if one.blob]
ARC = {
    "question": "Which is a gas?",
    "choices": {"text": ["iron", "oxygen", "salt"], "label": ["A", "B", "C"]},
    "answerKey": "B",
}
HUB_ROWS = {
    "boolq": {"question": "is ice water", "answer": True, "passage": "Ice is water."},
    "piqa": {"goal": "boil water", "sol1": "Heat it.", "sol2": "Cool it.", "label": 0},
    "social_i_qa": {
        "context": "Ann ran.",
        "question": "How is Ann?",
        "answerA": "tired",
        "answerB": "cold",
        "answerC": "rich",
        "label": "1",
    },
    "hellaswag": {
        "activity_label": "Running",
        "ctx": "[header] How to run [title] Start. she",
        "endings": ["sits.", "flies.", "runs.", "eats."],
        "label": "2",
    },
    "winogrande": {
        "sentence": "Ann beat Bo because _ was fast.",
        "option1": "Ann",
        "option2": "Bo",
        "answer": "1",
    },
    "ARC-Easy": ARC,
    "ARC-Challenge": {
        **ARC,
        "choices": {"text": ["iron", "oxygen", "salt", "ice"], "label": ["1", "2", "3", "4"]},
        "answerKey": "4",
    },
    "openbookqa": {
        "question_stem": "Ice is",
        "choices": {"text": ["hot", "cold", "loud", "soft"], "label": ["A", "B", "C", "D"]},
        "answerKey": "B",
    },
}
INSTRUCTIONS = {
    "boolq": "Please answer the following question with true or false, question: is ice water?"
    "\n\nAnswer format: true/false",
    "piqa": "Please choose the correct solution to the question: boil water\n\n"
    "Solution1: Heat it.\n\nSolution2: Cool it.\n\nAnswer format: solution1/solution2",
    "social_i_qa": "Please choose the correct answer to the question: Ann ran. How is Ann?\n\n"
    "Answer1: tired Answer2: cold Answer3: rich\n\nAnswer format: answer1/answer2/answer3",
    "hellaswag": "Please choose the correct ending to complete the given sentence: Running: "
    "[header] How to run [title] Start. she\n\n"
    "Ending1: sits. Ending2: flies. Ending3: runs. Ending4: eats.\n\n"
    "Answer format: ending1/ending2/ending3/ending4",
    "winogrande": "Please choose the correct answer to fill in the blank to complete the given "
    "sentence: Ann beat Bo because _ was fast.\n\n"
    "Option1: Ann Option2: Bo Answer format: option1/option2",
    "ARC-Easy": "Please choose the correct answer to the question: Which is a gas?\n\n"
    "Answer1: iron Answer2: oxygen Answer3: salt\n\nAnswer format: answer1/answer2/answer3",
    "ARC-Challenge": "Please choose the correct answer to the question: Which is a gas?\n\n"
    "Answer1: iron Answer2: oxygen Answer3: salt Answer4: ice\n\n"
    "Answer format: answer1/answer2/answer3/answer4",
    "openbookqa": "Please choose the correct answer to the question: Ice is\n\n"
    "Answer1: hot Answer2: cold Answer3: loud Answer4: soft\n\n"
    "Answer format: answer1/answer2/answer3/answer4",
}
GOLD = {
    "boolq": "true",
    "piqa": "solution1",
    "social_i_qa": "answer1",
    "hellaswag": "ending3",
    "winogrande": "option1",
    "ARC-Easy": "answer2",
    "ARC-Challenge": "answer4",
    "openbookqa": "answer2",
}


@pytest.fixture
def mirror(tmp_path, monkeypatch) -> Path:
    """Folders like the hub's: a train and a test split with one row each, for every config."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for one in PUBLISHED:
        folder = tmp_path / "mirror" / one.hub.name
        for config in one.hub.configs:
            for split in ("train", one.hub.test):
                file = folder / (config or "data") / f"{split}.jsonl"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(HUB_ROWS[one.name]) + "\n")
        same = [other.hub for other in PUBLISHED if other.hub.name == one.hub.name]
        configs = [config for other in same for config in other.configs]
        (folder / "README.md").write_text(_card(configs, one.hub.test))
    return tmp_path / "mirror"


def _card(configs: list[str | None], test_split: str) -> str:
    lines = ["---", "configs:"]
    for config in configs:
        lines += [f"- config_name: {config or 'default'}", "  data_files:"]
        for split in ("train", test_split):
            lines += [f"  - split: {split}", f"    path: {config or 'data'}/{split}.jsonl"]
    return "\n".join([*lines, "---", ""])


def row(one: Benchmark) -> dict[str, str]:
    return one.row(*one.hub.question(HUB_ROWS[one.name]))


@pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: one.name)
def test_a_hub_row_becomes_the_published_row(one):
    gold = GOLD[one.name]
    assert row(one) == {
        "instruction": INSTRUCTIONS[one.name],
        "input": "",
        "output": f"the correct answer is {gold}",
        "answer": gold,
    }


def test_rebuilding_writes_the_layout_and_takes_every_winogrande_size(mirror, tmp_path, capsys):
    rebuild(PUBLISHED, tmp_path / "data", mirror=mirror)
    folder = tmp_path / "data" / REBUILT
    training = json.loads((folder / "commonsense_170k.json").read_text())
    assert len(training) == 7 + 6
    for one in PUBLISHED:
        test = json.loads(one.test_file(folder).read_text())
        assert [row["instruction"] for row in test] == [INSTRUCTIONS[one.name]]
    assert capsys.readouterr().out.count("not the published file; to compare rows, get") == 9


def test_rebuilding_knows_the_published_file_by_its_blob_id(mirror, tmp_path, capsys, monkeypatch):
    boolq = benchmark("boolq")
    (tmp_path / "same").write_text(json.dumps([row(boolq)], indent=4))
    file = SourceFile("", "commonsense/boolq/test.json", blob_id(tmp_path / "same"), 1)
    others = published("commonsense")[:1]
    monkeypatch.setattr("denselora.data.rebuild.published", lambda suite: (file, *others))
    rebuild([boolq], tmp_path / "data", mirror=mirror)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith("boolq/test.json: 1 rows; byte for byte the published file")


def test_rebuilding_compares_with_the_published_files(mirror, tmp_path, capsys):
    published = tmp_path / "data" / "commonsense"
    for one in PUBLISHED:
        there = row(one)
        if one.name == "piqa":
            there["answer"] = "solution2"
        one.test_file(published).parent.mkdir(parents=True)
        one.test_file(published).write_text(json.dumps([there]))
    rebuild(PUBLISHED, tmp_path / "data", mirror=mirror)
    printed = {
        line.split(":")[0].split("/")[-2]: line for line in capsys.readouterr().out.splitlines()
    }
    assert printed["boolq"].endswith("the same rows in the same order")
    assert printed["piqa"].endswith("0 rows in both, 1 only in the first, 1 only in the second")
    differences = json.loads((tmp_path / "data" / REBUILT / "differences.json").read_text())
    assert list(differences) == ["piqa/test.json"]
    assert differences["piqa/test.json"]["only published"][0]["answer"] == "solution2"
    assert differences["piqa/test.json"]["only rebuilt"][0]["answer"] == "solution1"


def test_comparison_counts_repeated_rows_and_ignores_order():
    a, b = {"instruction": "a"}, {"instruction": "b"}
    assert str(compare([a, b], [b, a])) == "the same rows, reordered"
    result = compare([a, a, b], [a, b, b])
    assert (result.common, result.only_left, result.only_right) == (2, [a], [b])


def test_a_missing_mirror_folder_is_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        rebuild(PUBLISHED, tmp_path / "data", mirror=tmp_path / "nowhere")


def test_a_dataset_that_cannot_be_loaded_is_named(mirror, tmp_path):
    for file in (mirror / "google" / "boolq" / "data").iterdir():
        file.unlink()
    with pytest.raises(FetchError, match="google/boolq/validation: cannot be loaded"):
        rebuild(PUBLISHED, tmp_path / "data", mirror=mirror)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"goal": None, "aim": "x"}, "row 1 has no field 'goal'"),
        ({"label": -1}, r"row 1 has no usable label \(the label is hidden\)"),
        ({"label": 2}, "row 1 has no usable label"),
    ],
)
def test_a_row_that_does_not_fit_is_named(mirror, tmp_path, change, named):
    changed = {**HUB_ROWS["piqa"], **change}
    kept = {key: value for key, value in changed.items() if value is not None}
    for file in (mirror / "ybisk" / "piqa" / "data").iterdir():
        file.write_text(json.dumps(kept) + "\n")
    with pytest.raises(FetchError, match=f"piqa/validation: {named}"):
        rebuild([benchmark("piqa")], tmp_path / "data", mirror=mirror)
