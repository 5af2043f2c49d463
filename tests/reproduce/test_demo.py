import pytest

from denselora.errors import UserError
from denselora.reproduce.demo import demo, learnt
from tests.results.records import make_record


def test_the_demo_ends_with_what_was_learnt():
    records = [
        make_record("none", correct=0.45),
        make_record("lora", r=32, correct=0.65),
        make_record(r=16, correct=0.6),
    ]
    assert learnt(records) == (
        "DenseLoRA r=16 answers 60.0 % of the questions with 80,000 trained parameters, "
        "LoRA r=32 65.0 % with 160,000; the base, made to choose, 45.0 %, guessing gives 25.0 %."
    )


def test_several_seeds_are_told_by_their_mean():
    records = [make_record("none", correct=0.45), make_record("lora", r=32, correct=0.65)]
    records += [make_record(r=16, seed=seed, correct=0.6 - 0.1 * seed) for seed in (0, 1)]
    assert "DenseLoRA r=16 answers 55.0 % in the mean of 2 runs of" in learnt(records)


@pytest.mark.parametrize("option", ["runs_dir", "results_dir"])
def test_folders_of_the_demo_are_its_own(option):
    with pytest.raises(UserError, match=f"{option}: the demo has a folder of its own"):
        demo([f"{option}=there"])


def test_what_the_base_is_asked_with_are_the_options_of_the_runs(monkeypatch):
    calls = []

    def note(name, *options):
        calls.append(options)
        raise UserError("enough")

    monkeypatch.setattr("denselora.reproduce.demo.run_script", note)
    with pytest.raises(UserError, match="enough"):
        demo(["protocol=paper", "trainer.epochs=1", "evaluation.limit=5", "quantization=int8"])
    assert calls[0][-3:] == ("protocol=paper", "quantization=int8", "limit=5")


def test_a_method_that_has_no_average_is_named():
    assert learnt([make_record("lora"), make_record("none")]) == (
        "No average of denselora: see above."
    )
