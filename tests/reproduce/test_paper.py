"""What all of the paper's experiments take, on a tiny model and data."""

import shutil

import pytest
from hydra import initialize_config_dir

from denselora.command_line.configs import CONFIGS, composed
from denselora.command_line.options import accepted
from denselora.reproduce import paper
from denselora.reproduce.estimate import Estimate
from denselora.reproduce.options import Reproduce
from denselora.reproduce.point import Point
from denselora.reproduce.points import every_point, point_of
from denselora.tasks import SUITES
from denselora.typeset import MISSING


@pytest.fixture
def hydra():
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        yield


@pytest.fixture
def given(tmp_path, model_folder, data_folder) -> str:
    """Options for all runs; a folder in which both suites' benchmarks are."""
    data = tmp_path / "data"
    shutil.copytree(data_folder, data)
    rows = (data / "boolq/test.json").read_text()
    for benchmark in SUITES["math"]:
        benchmark.test_file(data).parent.mkdir(exist_ok=True)
        benchmark.test_file(data).write_text(rows)
    return (
        f"model.path={model_folder} data.path={data} data.train_file=train.json "
        f"trainer.validation_rows=0 runs_dir={tmp_path / 'runs'}"
    )


@pytest.fixture
def same_estimates(monkeypatch):
    """Two hours and one GiB for each run."""
    made = Estimate({"trainable": 8}, 1.5, 0.5, 1.0)
    monkeypatch.setattr(paper, "estimate", lambda point, gpu: made)


def test_every_experiment_is_listed_and_a_shared_run_once(hydra, given, same_estimates):
    found = paper.settings(["llama2_7b", "llama3_8b"], [1, 2], given, "H100")
    parts = {part: [one for one in found if one.part == part] for part in paper.EXPERIMENTS}
    assert all(parts.values())
    table1 = parts["Table 1"]
    models = [one.runs[0].config["model"]["name"] for one in table1]
    assert models.count("llama2_7b") == models.count("llama3_8b") == len(table1) / 2
    rest = [one for part, those in parts.items() if part != "Table 1" for one in those]
    assert {one.runs[0].config["model"]["name"] for one in rest} == {"llama3_8b"}
    folders = [run.folder for one in found for run in one.runs]
    assert len(folders) == len(set(folders))
    for one in found:
        plain = one.runs[0].config["adapter"]["name"] == "none"
        assert [run.config["seed"] for run in one.runs] == ([1] if plain else [1, 2])


def test_the_script_prints_settings_and_queues(script, given, same_estimates, monkeypatch):
    monkeypatch.setattr(paper, "EXPERIMENTS", {"Table 1": "table1/*", "rank": "rank"})
    options = ["models=[llama3_8b]", "gpus=2", f"options={given}"]
    code, out, err = script("reproduce_paper", *options)
    assert code == 0, err
    assert "experiment=rank model=llama3_8b" in out and "adapter.r=128" in out
    left = [line for line in out.splitlines() if "experiment=" in line]
    runs = 3 * len(left) - 2  # of the base one
    assert f"{runs} runs in {len(left)} settings, {runs} left" in out
    (queue,) = [line for line in out.splitlines() if "the number of GPUs" in line]
    hours = 2 * ((runs + 1) // 2)
    assert queue.replace("│", " ").split()[:3] == ["2", f"{hours}.0", f"{2 * runs}.0"]


def test_a_run_that_is_done_is_not_left(hydra, given, same_estimates, monkeypatch, capsys):
    monkeypatch.setattr(paper, "EXPERIMENTS", {"Table 1": "table1/lora_r32"})
    monkeypatch.setattr(Point, "state", "done")
    found = paper.settings(["llama3_8b"], [1, 2], given, "H100")
    assert [one.left for one in found] == [[]]
    paper.print_paper(found, [8], "H100")
    out = capsys.readouterr().out
    assert "2 runs in 1 settings, 0 left" in out
    (queue,) = [line for line in out.splitlines() if line.strip("│ ").startswith("8 ")]
    assert queue.replace("│", " ").split() == ["8", "0.0", "0.0", "0", MISSING]


def test_a_point_is_what_hydra_composes(hydra, given):
    options = given.split()
    for own in (
        ["experiment=ablation/placement", "model=llama3_8b", "adapter.decoder_activation=identity"],
        ["experiment=table1/dora_r16", "model=llama2_7b", "seed=7", "evaluation.limit=3"],
        ["adapter=lora", "+adapter.peft.bias=all", "trainer.learning_rate=1e-3"],
        ["adapter=lora", "evaluation=null", "~trainer.fused"],
    ):
        overrides = [*own, *options]
        try:
            expected = Point.of(accepted(composed("reproduce", overrides), Reproduce), overrides)
        except Exception as error:
            with pytest.raises(type(error)):
                point_of(overrides)
        else:
            assert point_of(overrides) == expected
    assert len({str(one.folder) for one in every_point(["seed=1,2", *options])}) == 2
