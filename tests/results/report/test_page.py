import hashlib
import json
import re
from dataclasses import replace

import pytest

from denselora.results.predictions import PREDICTIONS, write_predictions
from denselora.results.published import PUBLISHED, read_published
from denselora.results.record import RECORD, read_records, write_record
from denselora.results.report.page import VENDOR, content, page
from tests import ROOT
from tests.results.records import make_record, prediction, save

MB = 10**6
NASTY = "</script><script>alert(1)</script><!-- & \u2028 ' \""


@pytest.fixture(scope="module")
def published():
    return read_published(PUBLISHED)


@pytest.fixture(scope="module")
def kept(published) -> str:
    return page(read_records(ROOT / "results"), published)


def data(html: str) -> dict:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*)</script>', html)
    return json.loads(text)


def test_the_same_records_give_the_same_bytes(published):
    some = read_records(ROOT / "results")[::12]
    assert page(some, published) == page(some, published)


def test_the_page_of_the_kept_results_is_small(kept):
    assert len(kept.encode()) <= 5 * MB


def test_every_record_is_there_with_its_numbers(kept):
    records = read_records(ROOT / "results")
    shown = data(kept)
    runs = {run["id"]: run for run in shown["runs"]}
    assert runs.keys() == {record.run_id for record in records}
    rows = [row for block in shown["blocks"] for row in block["rows"]]
    listed = sorted(number for row in rows for number in row["runs"])
    assert listed == list(range(len(records)))
    for record in records:
        for name, part in record.benchmarks.items():
            assert runs[record.run_id]["benchmarks"][name]["correct"] == part.correct


def test_the_config_of_a_run_can_be_put_together_again(kept):
    shown = data(kept)
    run = next(run for run in shown["runs"] if run["id"].endswith("4747fb29"))
    details = dict(shown["pairs"][number] for number in run["details"])
    assert details["config.trainer.learning_rate"] == "0.004"
    assert details["method.alpha"] == "32.0" and details["protocol.hash"] == "bbec86db0113"


def test_tables_have_the_words_of_tables_md(kept):
    text = (ROOT / "results/tables/commonsense.md").read_text(encoding="utf-8")
    for block in data(kept)["blocks"]:
        assert block["statement"] in text


def test_nothing_is_loaded_from_elsewhere(kept):
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", kept)
    assert "default-src 'none'" in kept


def test_no_text_of_a_record_ends_the_script_that_holds_it(tmp_path, published):
    record = make_record(config={"note": NASTY})
    record = replace(record, git=replace(record.git, commit=NASTY))
    save(tmp_path, record)
    row = prediction(0, True) | {"raw": NASTY, "parsed": NASTY, "gold": NASTY}
    rows = {
        name: [row, *(prediction(i, i < part.correct) for i in range(1, part.n))]
        for name, part in record.benchmarks.items()
    }
    write_predictions(tmp_path / "runs" / record.run_id / PREDICTIONS, rows)
    html = page(read_records(tmp_path), published)
    assert html.count("<script") == html.count("</script") == 3
    assert "alert(1)</script>" not in html
    assert NASTY in data(html)["sets"][0]["raw"]


def test_a_record_of_a_collapsed_run_and_one_of_half_a_suite_are_shown(tmp_path, published):
    records = [
        make_record(collapsed="loss is nan"),
        make_record(seed=1, benchmarks=["boolq"]),
        make_record("none"),
    ]
    for record in records:
        write_record(record, tmp_path / "runs" / record.run_id / RECORD)
    shown = content(read_records(tmp_path), published)
    assert [run["status"] for run in shown["runs"]].count("collapsed") == 1
    (block,) = shown["blocks"]
    assert all(row["drawn"] is None for row in block["rows"])


def test_a_folder_without_records_gives_an_empty_page(tmp_path, published):
    shown = data(page(read_records(tmp_path), published))
    assert shown["runs"] == [] and shown["blocks"] == [] and shown["published"]


def test_what_is_inlined_is_what_its_readme_says():
    stated = re.findall(r"\| (uPlot\S+) \| ([0-9a-f]{64}) \|", (VENDOR / "README.md").read_text())
    assert len(stated) == 2
    for name, digest in stated:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
