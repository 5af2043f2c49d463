"""Whole evaluations: several adapters, failures, bad input, processes, recounting."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from denselora.errors import UserError
from denselora.evaluation import recording, run
from denselora.evaluation.recount import compare, recount_folder
from denselora.lock import LOCK, locked
from denselora.results.record import read_record
from denselora.tasks import COMMONSENSE
from tests.evaluation.calls import evaluate
from tests.evaluation.models import make_adapter
from tests.processes import run_processes
from tests.tiny import denselora_config

TASKS = "tasks=[boolq,piqa,ARC-Easy]"


@pytest.fixture
def where(base_folder, rows_folder, tmp_path):
    """Options that name the base, the rows and an output folder."""
    return [
        *(f"model.path={base_folder}", "data=local", f"data.path={rows_folder}"),
        *(TASKS, "protocol=clean", "protocol.decoding.max_new_tokens=12"),
        f"output_dir={tmp_path / 'out'}",
    ]


@pytest.fixture(scope="module")
def adapters(base_folder, tmp_path_factory):
    """A DenseLoRA and a LoRA adapter that change something."""
    folder = tmp_path_factory.mktemp("adapters")
    lora = LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    return [
        make_adapter(base_folder, folder / "dense", denselora_config(init_weights=False)),
        make_adapter(base_folder, folder / "lora", lora),
    ]


def predictions(folder):
    return {file.name: file.read_bytes() for file in folder.glob("*.jsonl")}


def test_the_plain_base_gets_a_record_that_recounts(where, tmp_path):
    (record,), failures = evaluate(*where, "adapter=none", f"record_dir={tmp_path / 'runs'}")
    assert not failures and record.method.trainable == 0 and record.method.name == "none"
    assert set(predictions(tmp_path / "out")) == {"boolq.jsonl", "piqa.jsonl", "ARC-Easy.jsonl"}
    assert not list((tmp_path / "out").glob("*.partial*"))
    assert record.data.benchmarks == [one.name for one in COMMONSENSE if one.blob]
    recounted = recount_folder(tmp_path / "out")
    assert recounted == record.benchmarks
    assert all(one.n == 10 and one.ambiguous is not None for one in recounted.values())
    published = read_record(tmp_path / "runs" / record.run_id / "record.json")
    assert published.beside(published.benchmarks["piqa"].predictions)
    agreements = compare(tmp_path / "out", published.file.parent)
    assert all(one.same == one.n == 10 for one in agreements.values())


def test_an_evaluation_has_its_record_when_it_is_published(where, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(recording, "publish_record", killed)
    options = ("tasks=[boolq]", "limit=2", f"record_dir={tmp_path / 'runs'}")
    with pytest.raises(KeyboardInterrupt):
        evaluate(*where, *options)
    assert not (tmp_path / "out" / "record.json").exists()
    monkeypatch.undo()
    (record,), _ = evaluate(*where, *options)
    assert (tmp_path / "out" / "record.json").is_file()
    assert (tmp_path / "runs" / record.run_id / "record.json").is_file()


def test_a_published_run_recounts_by_its_protocols_name(where, tmp_path):
    options = (
        "adapter=none",
        "protocol.decoding.max_new_tokens=32",
        f"record_dir={tmp_path / 'runs'}",
    )
    (record,), _ = evaluate(*where, *options)
    folder = tmp_path / "runs" / record.run_id
    figures = [(one.n, one.correct, one.unparsed) for one in record.benchmarks.values()]
    recounted = recount_folder(folder).values()
    assert [(one.n, one.correct, one.unparsed) for one in recounted] == figures
    file = folder / "record.json"
    file.write_text(file.read_text().replace(record.protocol.hash, "of another"))
    with pytest.raises(UserError, match="protocol clean, hash of another, is no longer in"):
        recount_folder(folder)


@pytest.mark.parametrize("option", ["model.path", "protocol.decoding.max_new_tokens"])
def test_a_record_of_another_base_or_protocol_is_not_replaced(where, base_folder, tmp_path, option):
    once = ("adapter=none", "tasks=[boolq]", "limit=2", f"record_dir={tmp_path / 'runs'}")
    (record,), _ = evaluate(*where, *once)
    file = tmp_path / "runs" / record.run_id / "record.json"
    before = file.read_bytes()
    other = {"model.path": tmp_path / "base", "protocol.decoding.max_new_tokens": 5}[option]
    shutil.copytree(base_folder, tmp_path / "base")
    place = f"output_dir={tmp_path / 'other'}"
    with pytest.raises(UserError, match=f"is there, with {option.partition('.')[0]}"):
        evaluate(*where, *once, place, f"{option}={other}")
    assert file.read_bytes() == before and not (tmp_path / "other").exists()
    (again,), _ = evaluate(*where, *once, place)
    assert again.run_id == record.run_id


def test_a_record_of_other_test_rows_is_not_replaced(where, rows_folder, tmp_path):
    once = ("adapter=none", "tasks=[boolq]", f"record_dir={tmp_path / 'runs'}")
    evaluate(*where, *once)
    shutil.copytree(rows_folder, tmp_path / "data")
    file = tmp_path / "data/boolq/test.json"
    file.write_text(json.dumps(json.loads(file.read_text())[1:]))
    place = (f"output_dir={tmp_path / 'other'}", f"data.path={tmp_path / 'data'}")
    with pytest.raises(UserError, match="is there, with other test rows of boolq"):
        evaluate(*where, *once, *place)


def test_benchmarks_that_were_scored_before_stay_in_the_record(where, tmp_path):
    place = ("adapter=none", "limit=4", f"record_dir={tmp_path / 'runs'}")
    (both,), _ = evaluate(*where, *place, "tasks=[piqa,boolq]")
    (again,), _ = evaluate(*where, *place, "tasks=[boolq]")
    assert list(again.benchmarks) == list(both.benchmarks) == ["boolq", "piqa"]
    assert again.benchmarks == both.benchmarks
    assert again.evaluation.made_of == both.evaluation.made_of
    (more,), _ = evaluate(*where, *place, "tasks=[ARC-Easy]")
    assert list(more.benchmarks) == ["boolq", "piqa", "ARC-Easy"]
    elsewhere = f"output_dir={tmp_path / 'other'}"
    with pytest.raises(UserError, match="is there, with piqa, ARC-Easy too; name those in tasks"):
        evaluate(*where, *place, elsewhere, "tasks=[boolq]")
    with pytest.raises(UserError, match="is there, with data"):
        evaluate(*where, *place, elsewhere, "data.label=Other")


def test_another_adapter_of_the_same_name_does_not_take_its_records_place(
    where, adapters, tmp_path
):
    for place, adapter in zip("ab", adapters, strict=True):
        shutil.copytree(adapter, tmp_path / place / "adapter")
    once = ("tasks=[boolq]", "limit=2", f"record_dir={tmp_path / 'runs'}")
    evaluate(*where, *once, f"adapter_path={tmp_path}/a/adapter", f"output_dir={tmp_path}/1")
    with pytest.raises(UserError, match="is there, with adapter weights"):
        evaluate(*where, *once, f"adapter_path={tmp_path}/b/adapter", f"output_dir={tmp_path}/2")


def test_several_adapters_on_one_base_score_as_each_alone(where, adapters, tmp_path):
    together, failures = evaluate(*where, f"adapter_path=[{adapters[0]},{adapters[1]}]")
    assert not failures
    assert [record.method.label for record in together] == ["DENSELORA", "LORA"]
    assert all(record.method.trainable > 0 for record in together)
    for record, adapter in zip(together, adapters, strict=True):
        alone = tmp_path / f"alone-{record.method.name}"
        evaluate(*where, f"adapter_path={adapter}", f"output_dir={alone}")
        assert predictions(alone) == predictions(tmp_path / "out" / record.run_id)


def test_scorings_have_folders_of_their_own_and_are_compared(where, adapters, tmp_path):
    evaluate(*where, f"adapter_path={adapters[1]}")
    choice = tmp_path / "choice"
    (record,), _ = evaluate(
        *where, f"adapter_path={adapters[1]}", "scoring=choice", f"output_dir={choice}"
    )
    assert record.run_id.endswith("-choice") and record.evaluation.scoring == "choice"
    assert recount_folder(choice) == record.benchmarks
    agreements = compare(tmp_path / "out", choice)
    for name, each in agreements.items():
        rows = [
            [json.loads(line) for line in (folder / f"{name}.jsonl").open()]
            for folder in (tmp_path / "out", choice)
        ]
        assert each.same == sum(a["parsed"] == b["parsed"] for a, b in zip(*rows, strict=True))
    with pytest.raises(UserError, match="another evaluation"):
        evaluate(*where, f"adapter_path={adapters[1]}", "scoring=choice")


def test_an_evaluation_that_another_process_writes_is_refused_until_that_ends(where, tmp_path):
    message = r"output_dir=.*out: process \d+ on .* writes to it"
    with locked(tmp_path / "out", "output_dir"), pytest.raises(UserError, match=message):
        evaluate(*where, "adapter=none")
    assert not (tmp_path / "out").exists()
    evaluate(*where, "adapter=none")
    assert not (tmp_path / "out" / LOCK).exists()


def test_a_failing_benchmark_does_not_lose_the_others(where, tmp_path, monkeypatch):
    answer_rows = run.answer_rows

    def broken(scoring, *rest):
        if scoring.benchmark.name == "piqa":
            raise RuntimeError("shapes do not match\nsecond line")
        answer_rows(scoring, *rest)

    monkeypatch.setattr(run, "answer_rows", broken)
    (record,), (failure,) = evaluate(*where)
    assert "piqa failed: RuntimeError: shapes do not match" in failure and "\n" not in failure
    assert set(record.benchmarks) == {"boolq", "ARC-Easy"} and record.status == "partial"
    monkeypatch.undo()
    (record,), failures = evaluate(*where)
    assert not failures and len(record.benchmarks) == 3


@pytest.mark.parametrize("scoring", ["generate", "choice"])
@pytest.mark.parametrize("protocol", ["clean", "paper"])
def test_rows_whose_logits_are_not_finite_get_no_answer(scoring, protocol, where, monkeypatch):
    forward = LlamaForCausalLM.forward

    def broken(self, *args, **options):
        output = forward(self, *args, **options)
        output.logits[..., 3] = float("nan")
        return output

    monkeypatch.setattr(LlamaForCausalLM, "forward", broken)
    records, failures = evaluate(*where, f"scoring={scoring}", f"protocol={protocol}")
    assert not records and len(failures) == 3
    assert all("scores aren't finite" in failure for failure in failures)
    assert "boolq failed: one of the 10 rows" in failures[0]


def test_an_adapter_without_effect_is_refused_and_the_others_scored(
    where, base_folder, adapters, tmp_path
):
    idle = make_adapter(base_folder, tmp_path / "idle", denselora_config())
    records, (failure,) = evaluate(*where, f"adapter_path=[{idle},{adapters[1]}]")
    assert "changes nothing" in failure and str(idle) in failure
    assert [record.method.label for record in records] == ["LORA"]
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_fully_tuned_model_is_scored_itself(where, base_folder, tmp_path):
    tuned = tmp_path / "tuned"
    shutil.copytree(base_folder, tuned)
    model = AutoModelForCausalLM.from_pretrained(base_folder)
    with torch.no_grad():
        model.lm_head.weight.zero_()  # says nothing
    model.save_pretrained(tuned)
    (record,), failures = evaluate(*where, f"adapter_path={tuned}")
    assert not failures and record.method.name == "full"
    assert all(one.unparsed == one.n for one in record.benchmarks.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["scoring=guess"], "scoring=guess"),
        (["batch_tokens=0"], "batch_tokens=0"),
        (["limit=0"], "limit=0"),
        (["adapter=lora"], "adapter=lora"),
        (["tasks=[boolq,nli]"], "'nli'"),
        (["limit=3"], "another evaluation"),
        (["protocol=clean"], "another evaluation"),
    ],
)
def test_bad_options_overwrite_nothing(where, tmp_path, change, message):
    out = tmp_path / "out"
    out.mkdir()
    (out / "evaluation.json").write_text('{"limit": 7}')
    with pytest.raises(UserError, match=message):
        evaluate(*where, *change)
    assert [file.name for file in out.iterdir()] == ["evaluation.json"]


def test_a_row_without_gold_is_named(where, rows_folder, tmp_path):
    shutil.copytree(rows_folder, tmp_path / "rows")
    file = tmp_path / "rows" / "piqa" / "test.json"
    rows = json.loads(file.read_text())
    del rows[3]["answer"]
    file.write_text(json.dumps(rows))
    with pytest.raises(UserError, match=r"piqa/test.json: row 4 has no field 'answer'"):
        evaluate(*where, f"data.path={tmp_path / 'rows'}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "gold"), [("boolq", "maybe"), ("gsm8k", "seven")])
def test_a_gold_that_no_answer_can_match_is_named(where, rows_folder, name, gold, tmp_path):
    rows = json.loads((rows_folder / "boolq" / "test.json").read_text())
    (tmp_path / "rows" / name).mkdir(parents=True)
    right = "7" if name == "gsm8k" else "true"
    rows = [row | {"answer": right} for row in rows[:2]] + [rows[2] | {"answer": gold}]
    (tmp_path / "rows" / name / "test.json").write_text(json.dumps(rows))
    options = [f"data.suite={'math' if name == 'gsm8k' else 'commonsense'}", f"tasks=[{name}]"]
    with pytest.raises(UserError, match=f"row 3, field 'answer' is '{gold}'"):
        evaluate(*where, f"data.path={tmp_path / 'rows'}", *options)
    assert not (tmp_path / "out").exists()


def test_another_base_at_the_same_path_is_refused(where, base_folder, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(base_folder, base)
    where = [*where, f"model.path={base}", "tasks=[boolq]", "limit=2"]
    evaluate(*where)
    before = predictions(tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(2)
    model.save_pretrained(base)
    with pytest.raises(UserError, match=r"weights at .* have changed"):
        evaluate(*where)
    assert predictions(tmp_path / "out") == before


def test_golds_that_changed_are_another_evaluation(where, rows_folder, tmp_path):
    rows = shutil.copytree(rows_folder, tmp_path / "rows")
    where = [*where, f"data.path={rows}", "limit=4", "scoring=choice"]
    (before,), _ = evaluate(*where)
    evaluate(*where, "tasks=[boolq]")
    file = rows / "piqa" / "test.json"
    other = {"solution1": "solution2", "solution2": "solution1"}
    changed = [row | {"answer": other[row["answer"]]} for row in json.loads(file.read_text())]
    file.write_text(json.dumps(changed))
    with pytest.raises(UserError, match=r"differs in the rows or golds of piqa\); choose another"):
        evaluate(*where)
    (after,), _ = evaluate(*where, f"output_dir={tmp_path}/new")
    tests = [record.evaluation.made_of["tests"] for record in (before, after)]
    assert {name for name in tests[0] if tests[0][name] != tests[1][name]} == {"piqa"}
    assert after.benchmarks["piqa"].correct == 4 - before.benchmarks["piqa"].correct


def test_an_adapter_config_that_changed_is_another_evaluation(where, adapters, tmp_path):
    adapter = shutil.copytree(adapters[1], tmp_path / "adapter")
    where = [*where, f"adapter_path={adapter}", "limit=2", "scoring=choice"]
    (record,), _ = evaluate(*where)
    assert set(record.evaluation.made_of) == {"base", "adapter", "adapter_config", "tests"}
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"lora_alpha": 100}))
    with pytest.raises(UserError, match=r"differs in adapter_config\)"):
        evaluate(*where)


def test_an_adapter_of_another_version_is_refused_before_anything_is_computed(
    where, adapters, tmp_path
):
    adapter = tmp_path / "adapter"
    shutil.copytree(adapters[1], adapter)
    (adapter / "training.json").write_text('{"training": {"steps": 1}}')
    with pytest.raises(UserError, match="not as this version writes it"):
        evaluate(*where, f"adapter_path={adapter}")
    assert not (tmp_path / "out").exists()


def test_recounting_reports_a_changed_file(where, tmp_path):
    evaluate(*where)
    file = tmp_path / "out" / "boolq.jsonl"
    lines = [json.loads(line) for line in file.open()]
    lines[0]["correct"] = not lines[0]["correct"]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UserError, match="judged otherwise"):
        recount_folder(tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1:], "ids are not 0 to 9, each once"),
        (lambda rows: [*rows[:9], rows[8]], "ids are not 0 to 9, each once"),
        (lambda rows: [*rows, rows[8]], "ids are not 0 to 9, each once"),
        (
            lambda rows: [
                row | {"raw": "", "parsed": None, "named": [], "correct": False} for row in rows
            ],
            "not those of the record: (correct is 0|unparsed is 10)",
        ),
        (lambda rows: [rows[0] | {"raw": rows[0]["raw"] + " "}, *rows[1:]], "some have changed"),
    ],
)
def test_recounting_reports_rows_that_are_not_the_records(where, tmp_path, change, message):
    evaluate(*where, "tasks=[boolq]")
    file = tmp_path / "out" / "boolq.jsonl"
    rows = change([json.loads(line) for line in file.open()])
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=rf"boolq\.jsonl: .*{message}"):
        recount_folder(tmp_path / "out")


def evaluate_in_process(rank, where, folder):
    records, failures = evaluate(*where, f"output_dir={folder}")
    assert not failures and len(records) == (rank == 0)


@pytest.mark.multiprocess
def test_two_processes_give_the_file_of_one(where, tmp_path):
    evaluate(*where)
    run_processes(evaluate_in_process, 2, where, tmp_path / "two")
    assert predictions(tmp_path / "two") == predictions(tmp_path / "out")
    record = read_record(tmp_path / "two" / "record.json")
    assert record.device.count == 2
    alone = read_record(tmp_path / "out" / "record.json")
    assert {k: v.correct for k, v in record.benchmarks.items()} == {
        k: v.correct for k, v in alone.benchmarks.items()
    }
