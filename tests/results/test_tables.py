import csv
import dataclasses
import io
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from rich.console import Console

from denselora.results.blocks import build_blocks
from denselora.results.figures import write_figures
from denselora.results.predictions import write_predictions
from denselora.results.published import PUBLISHED, read_published
from denselora.results.record import read_records
from denselora.results.tables import print_table, write_tables
from tests import ROOT
from tests.results.records import make_record, prediction, save


def tables(tmp_path, *records) -> dict[str, str]:
    published = read_published(PUBLISHED)
    files = write_tables(build_blocks(records, published.tables), published, tmp_path / "tables")
    return {path.name: path.read_text() for path in files}


def markdown_rows(text, heading):
    """Rows of the table under the first heading that starts so: column -> cell."""
    section = next(part for part in text.split("\n## ") if part.startswith(heading))
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:1] == "|"]
    return [dict(zip(lines[0], cells, strict=True)) for cells in lines[2:]]


def test_row_has_method_rank_share_benchmarks_average_and_difference(tmp_path):
    text = tables(tmp_path, make_record("lora", correct=0.4), make_record(correct=0.6))
    lora, ours = markdown_rows(text["commonsense.md"], "SmolLM2")
    assert ours == {
        "Method": "DenseLoRA",
        "r": "16",
        "Trainable": "80,000",
        "Trainable %": "7.4074",
        "Seeds": "1",
        **dict.fromkeys(["BoolQ", "PIQA", "SIQA", "HellaSwag", "WinoGrande"], "60.0"),
        **dict.fromkeys(["ARC-e", "ARC-c", "OBQA"], "60.0"),
        "Average": "60.0",
        # 60 less 21.34 and plus 18.12 over sqrt 8: the Wilson distances of 12 in 20
        "95 % CI": "52.5–66.4",
        "Δ LoRA": "+20.0",
        "Unparsed %": "0.0",
    }
    assert lora["Δ LoRA"] == "reference"


def test_a_row_that_was_trained_under_another_protocol_says_so(tmp_path):
    config = {"protocol": {"name": "clean"}, "data": {"name": "lab"}}
    text = tables(tmp_path, make_record(config=config))["commonsense.md"]
    assert "DenseLoRA r=16: trained with protocol clean." in text


def test_runs_whose_base_had_other_weights_are_named(tmp_path):
    def of(base, record):
        return dataclasses.replace(
            record, evaluation=dataclasses.replace(record.evaluation, made_of={"base": base})
        )

    runs = [of("abc", make_record(seed=seed)) for seed in (1, 2)] + [make_record("none")]
    alike = tables(tmp_path, *runs)["commonsense.md"]
    assert "other weights" not in alike
    other = of("def", make_record(seed=3))
    told = tables(tmp_path, *runs, other)["commonsense.md"]
    assert f"than in most runs here: {other.run_id}." in told.replace("\\", "")


def test_what_was_varied_is_in_sheets_of_its_own_beside_the_usual_rows(tmp_path):
    def rate(value):
        return {"config": {"trainer": {"learning_rate": value}}}

    records = [make_record("none"), *(make_record(seed=s, **rate(0.1)) for s in (0, 1))]
    records += [make_record(r=r, **rate(0.1)) for r in (4, 8)]
    records += [make_record(run_id="b", **rate(0.2)), make_record(run_id="c", train_rows=80)]
    text = tables(tmp_path, *records)["commonsense.md"]

    def shown(what):
        place = "SmolLM2-135M, lab split, protocol paper, generate, at most 20 rows a benchmark"
        return [(row["Method"], row["r"]) for row in markdown_rows(text, f"{place}{what}\n")]

    assert shown("") == [("Base", "–"), ("DenseLoRA", "4"), ("DenseLoRA", "8"), ("DenseLoRA", "16")]
    assert shown(", several seeds") == [("Base", "–"), ("DenseLoRA", "16")]
    assert shown(", by learning_rate") == [
        ("DenseLoRA (learning_rate=0.0003)", "16"),
        ("DenseLoRA", "16"),
        ("DenseLoRA (learning_rate=0.2)", "16"),
    ]
    assert "DenseLoRA unless a row says otherwise: learning_rate=0.1." in text


def test_block_states_model_data_protocol_rows_and_dates(tmp_path):
    text = tables(tmp_path, make_record(seed=0), make_record(seed=2))["commonsense.md"]
    statement = text.split("\n## ")[1].splitlines()[2]
    for fact in (
        "Model SmolLM2-135M",
        "data lab split",
        "protocol paper, version 1, hash 9d9bd7a767ec",
        "generate",
        "160 of 395 test rows of 8 benchmarks",
        "2026-03-01 to 2026-03-03",
    ):
        assert fact in statement


def test_missing_cell_prints_a_dash(tmp_path):
    text = tables(tmp_path, make_record(benchmarks=["boolq"]))["commonsense.md"]
    (row,) = markdown_rows(text, "SmolLM2")
    assert (row["BoolQ"], row["PIQA"], row["Average"]) == ("50.0", "–", "–")


def test_published_rows_are_a_block_of_their_own_with_source_and_trust(tmp_path):
    text = tables(tmp_path, make_record(model="LLaMA3-8B"))["commonsense.md"]
    rows = markdown_rows(text, "LLaMA3-8B, commonsense, published")
    vera = next(row for row in rows if row["Method"] == "VeRA")
    assert (vera["SIQA"], vera["WinoGrande"], vera["Average"]) == ("–", "–", "67.7")
    assert vera["Trust"] == "relayed"
    assert f"{vera['Source']} note on DenseLoRA, Table 1 (WinoGrande" in text
    measured = text.index("## LLaMA3-8B, lab split")
    assert measured < text.index("## LLaMA3-8B, commonsense, published")
    assert len(markdown_rows(text, "LLaMA3-8B, lab split")) == 1


def test_published_average_that_is_not_printed_is_not_calculated(tmp_path):
    published = read_published(PUBLISHED)
    row = published.commonsense.rows[0]
    object.__setattr__(row, "average", None)
    (path, *_) = write_tables([], published, tmp_path)
    (first, *_) = markdown_rows(path.read_text(), "LLaMA3-8B")
    assert (first["OBQA"], first["Average"]) == ("79.0", "–")


def test_published_numbers_keep_their_digits(tmp_path):
    rows = markdown_rows(tables(tmp_path)["commonsense.md"], "LLaMA3-8B")
    independent = next(row for row in rows if row["Average"] == "87.51")
    assert independent["OBQA"] == "90.40"
    assert any(row["Average"] == "86.48 ± 0.77" for row in rows)


def test_seeds_print_as_mean_and_spread_with_their_number(tmp_path):
    text = tables(tmp_path, make_record(seed=0, correct=0.5), make_record(seed=1, correct=0.6))
    (row,) = markdown_rows(text["commonsense.md"], "SmolLM2")
    assert (row["Seeds"], row["BoolQ"], row["Average"]) == ("2", "55.0 ± 7.1", "55.0 ± 7.1")


def test_collapsed_run_is_marked_with_its_reason(tmp_path):
    text = tables(
        tmp_path,
        make_record(seed=0),
        make_record(seed=1, benchmarks=[], collapsed="loss is not finite at step 7"),
    )["commonsense.md"]
    sound, broken = markdown_rows(text, "SmolLM2")
    assert sound["Seeds"] == "1 (+1 †)"
    assert (broken["Method"], broken["Average"]) == ("DenseLoRA (collapsed, seed 1) †", "–")
    assert "loss is not finite at step 7" in text


def test_insignificant_difference_is_marked(tmp_path):
    save(tmp_path, make_record("lora"), make_record(), predictions=True)
    text = tables(tmp_path, *read_records(tmp_path))["commonsense.md"]
    row = markdown_rows(text, "SmolLM2")[1]
    assert row["Δ LoRA"] == "+0.0 ns"
    assert "ns: not significant" in text


def test_untested_difference_is_reported(tmp_path):
    text = tables(tmp_path, make_record("lora"), make_record())["commonsense.md"]
    assert markdown_rows(text, "SmolLM2")[1]["Δ LoRA"] == "+0.0"
    assert "1 of 1 differences untested" in text


def test_latex_is_booktabs_with_nothing_left_unescaped(tmp_path):
    text = tables(tmp_path, make_record(run_id="a_b"), make_record("lora"))["commonsense.tex"]
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == text.count(r"\begin{tabular}") == 6
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert r"commonsense\_170k" in body
    for sign in "%_#":
        assert body.count(sign) == body.count("\\" + sign)
    assert body.isascii()


def test_csv_has_measured_and_published_rows_unrounded(tmp_path):
    text = tables(tmp_path, make_record(seed=0, correct=1 / 3, limit=None))["commonsense.csv"]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert (rows[0]["kind"], rows[0]["r"], rows[0]["BoolQ"]) == ("measured", "16", "33.3333")
    assert {row["kind"] for row in rows[1:]} == {"published"}
    assert all(row["source"] for row in rows[1:])


def test_math_has_its_own_columns(tmp_path):
    text = tables(tmp_path, make_record(suite="math", data=("math_10k", "math_10k")))["math.md"]
    (row,) = markdown_rows(text, "SmolLM2")
    assert {"GSM8K", "AQuA", "AddSub", "SVAMP"} <= row.keys()
    assert "BoolQ" not in row
    assert "AddSub: math_10k holds test rows of AddSub" in text


def test_terminal_shows_every_column_whatever_its_width():
    console = Console(file=io.StringIO(), width=40)
    print_table([make_record("lora"), make_record(seed=0)], console)
    shown = console.file.getvalue()
    assert "HellaSwag" in shown and "Δ LoRA" in shown and "…" not in shown


def run_script(*overrides, cwd, python=(sys.executable,), path=str(ROOT / "src")):
    return subprocess.run(
        [*python, str(ROOT / "scripts" / "tables.py"), *overrides],
        env={"PYTHONPATH": path, "PATH": "", "OMP_NUM_THREADS": "1"},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def results(tmp_path):
    save(tmp_path, make_record("lora", correct=0.4), make_record(correct=0.6), predictions=True)
    return tmp_path


def made_files(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for part in ("tables", "figures")
        for path in sorted((folder / part).glob("*"))
    }


def test_everything_is_rebuilt_byte_identically_where_torch_is_not_installed(results, tmp_path):
    records, published = read_records(results), read_published(PUBLISHED)
    blocks = build_blocks(records, published.tables)
    write_tables(blocks, published, results / "tables")
    write_figures(blocks, published, results / "figures")
    made = made_files(results)
    shutil.rmtree(results / "tables")
    shutil.rmtree(results / "figures")
    # the same site-packages, less torch and what stands on it
    bare = tmp_path / "site-packages"
    bare.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("torch", "transformers", "peft", "accelerate")):
            (bare / entry.name).symlink_to(entry)
    path = f"{ROOT / 'src'}:{bare}"
    done = run_script(f"results_dir={results}", cwd=bare, python=(sys.executable, "-S"), path=path)
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in made} == {".md", ".tex", ".csv", ".pdf", ".png"}
    assert made_files(results) == made


def test_script_reports_a_bad_record_in_one_line_and_writes_nothing(results):
    (results / "runs" / "broken").mkdir()
    (results / "runs" / "broken" / "record.json").write_text("{")
    before = sorted(results.iterdir())
    done = run_script(f"results_dir={results}", cwd=results)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "broken/record.json" in done.stderr
    assert sorted(results.iterdir()) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda file: file.read_bytes()[:-20], "damaged or not Parquet"),
        (lambda file: b"", "empty; restore it"),
        (lambda file: b"\xff\xfe", "damaged or not Parquet"),
    ],
)
def test_tables_are_not_made_from_damaged_predictions(tmp_path, script, content, message):
    (record,) = save(tmp_path, make_record(), predictions=True)
    file = tmp_path / "runs" / record.run_id / "predictions.parquet"
    file.write_bytes(content(file))
    code, _, err = script("tables", f"results_dir={tmp_path}")
    assert code == 2 and message in err and str(file) in err and len(err.splitlines()) == 1
    assert not (tmp_path / "tables").exists()


def test_tables_are_not_made_from_predictions_that_the_record_does_not_count(tmp_path, script):
    record = make_record()
    save(tmp_path, record, predictions=True)
    rows = {
        name: [prediction(number, False) for number in range(part.n)]
        for name, part in record.benchmarks.items()
    }
    write_predictions(tmp_path / "runs" / record.run_id / "predictions.parquet", rows)
    code, _, err = script("tables", f"results_dir={tmp_path}")
    assert code == 2 and "boolq are not those of the record: correct is 0, there 10" in err


def test_labels_from_outside_stay_in_their_column(tmp_path):
    hostile = make_record(correct=0.6)
    hostile = dataclasses.replace(
        hostile,
        method=dataclasses.replace(hostile.method, label="[b]a|b\n*c* $\\frac"),
        model=dataclasses.replace(hostile.model, label="M\n\n## x | <b>"),
    )
    written = tables(tmp_path, hostile)
    (row,) = (line for line in written["commonsense.md"].splitlines() if "frac" in line)
    bare = row.replace(r"\\", "").replace(r"\|", "")
    head = next(line for line in written["commonsense.md"].splitlines() if "Method" in line)
    assert bare.count("|") == head.count("|")
    assert r"## M ## x | \<b>, lab split" in written["commonsense.md"]
    row = next(line for line in written["commonsense.tex"].splitlines() if "frac" in line)
    assert row.startswith(r"{}[b]a\textbar{}b *c* \$\textbackslash{}frac & 16")
    (row,) = (r for r in csv.DictReader(io.StringIO(written["commonsense.csv"]))
              if "frac" in r["method"])  # fmt: skip
    assert row["r"] == "16" and row["average"] == "60.0000"


def test_figures_take_labels_with_dollars(tmp_path):
    records = [
        dataclasses.replace(each, method=dataclasses.replace(each.method, label="$\\frac"))
        for each in (make_record(r=4, correct=0.5), make_record(r=8, correct=0.6))
    ]
    files, _ = write_figures(build_blocks(records), read_published(PUBLISHED), tmp_path)
    assert any(file.name.startswith("rank") for file in files)
