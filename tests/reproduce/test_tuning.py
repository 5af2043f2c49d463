from dataclasses import replace

import pytest

from denselora.errors import UserError
from denselora.reproduce.tuning import best_learning_rate
from denselora.training.run_folder import RunFolder, write_trained
from tests.training.trained import make_trained


def config(rate, seed=1, **changes):
    return {
        "adapter": {"name": "lora", "r": 4},
        "model": {"name": "tiny"},
        "seed": seed,
        "seed_init": seed,
        "seed_data": seed,
        "output_dir": None,
        "trainer": {"learning_rate": rate, "epochs": 2},
    } | changes


def finish(runs, name, config, loss, collapsed=None, base=None):
    trained = make_trained(config, validation_loss_nats=loss, collapsed=collapsed)
    if base:
        trained = replace(trained, base=base)
    write_trained(runs / name / "adapter", trained)


def test_the_rate_of_the_least_validation_loss_among_like_runs_is_taken(tmp_path):
    finish(tmp_path, "a", config(1e-4), 1.5)
    finish(tmp_path, "b", config(1e-3), 1.2)
    finish(tmp_path, "collapsed", config(1e-2), 0.0, "loss at zero")
    finish(tmp_path, "other method", config(3e-3, adapter={"name": "vera", "r": 4}), 0.5)
    finish(tmp_path, "other rank", config(3e-3, adapter={"name": "lora", "r": 8}), 0.5)
    assert best_learning_rate(config(3e-4, seed=7), tmp_path).rate == 1e-3


def test_losses_on_the_validation_rows_of_other_seeds_do_not_count(tmp_path):
    """A second seed at the best rate so far has easier rows, and no other rate."""
    finish(tmp_path, "a", config(1e-3), 1.20)
    finish(tmp_path, "b", config(2e-3), 1.19)
    finish(tmp_path, "c", config(1e-3, seed=2), 1.15)
    assert best_learning_rate(config(3e-4, seed=7), tmp_path).rate == 2e-3


@pytest.mark.parametrize("names", ["abcd", "dcba"])
def test_of_grids_of_equal_size_the_lowest_seeds_decides(tmp_path, names):
    grids = [(1e-3, 1, 1.0), (2e-3, 1, 1.1), (1e-3, 2, 1.0), (2e-3, 2, 0.5)]
    for name, (rate, seed, loss) in zip(names, grids, strict=True):
        finish(tmp_path, name, config(rate, seed=seed), loss)
    assert best_learning_rate(config(3e-4, seed=7), tmp_path).rate == 1e-3


def test_what_a_choice_says_of_its_grid(tmp_path):
    finish(tmp_path, "a", config(1e-3), 1.2)
    assert str(best_learning_rate(config(3e-4), tmp_path)).endswith("try lower and higher ones")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/config.yaml").write_text("no run's")
    finish(tmp_path, "b", config(2e-3), 1.1)
    assert str(best_learning_rate(config(3e-4), tmp_path)) == (
        "trainer.learning_rate=0.002: least validation loss of 2 rates, 0.001 to 0.002; it is the "
        "last on its side, so try higher ones"
    )
    write_trained(tmp_path / "c", make_trained(config(4e-3), collapsed="loss is nan"))
    RunFolder(tmp_path / "d").begin(config(3e-3), "")
    RunFolder(tmp_path / "e").begin(config(2e-3, seed=7), "")  # one with the rate that was chosen
    assert str(best_learning_rate(config(3e-4), tmp_path)) == (
        "trainer.learning_rate=0.002: least validation loss of 3 rates, 0.001 to 0.004; not "
        "finished: d"
    )


def test_a_grid_on_two_bases_of_one_path_decides_nothing(tmp_path):
    one = {"hidden_size": 8, "embedding_samples": [0.5]}
    finish(tmp_path, "a", config(1e-3), 1.0, base=one)
    finish(tmp_path, "b", config(2e-3), 0.9, base=one | {"embedding_samples": [0.501]})
    assert best_learning_rate(config(3e-4), tmp_path).rate == 2e-3  # rounded otherwise
    finish(tmp_path, "c", config(3e-3), 0.8, base=one | {"embedding_samples": [0.7]})
    with pytest.raises(UserError, match=r"weights of model=tiny changed between"):
        best_learning_rate(config(3e-4), tmp_path)


def test_a_grid_on_two_contents_of_one_file_decides_nothing(tmp_path):
    for name, rate, file in (("a", 1e-3, None), ("b", 2e-3, "0" * 40), ("c", 3e-3, "1" * 40)):
        made = make_trained(config(rate), validation_loss_nats=1.0, rows_file=file)
        made = replace(made, run_id=name)
        write_trained(tmp_path / name / "adapter", made)
        if name == "b":
            assert best_learning_rate(config(3e-4), tmp_path).rate == 1e-3  # an older one, unknown
    with pytest.raises(UserError, match=r"training file changed between b and c;"):
        best_learning_rate(config(3e-4), tmp_path)


def test_a_rate_that_is_no_number_is_not_passed_on(tmp_path):
    finish(tmp_path, "a", config("${oc.env:HF_TOKEN}"), 1.5)
    with pytest.raises(UserError, match="no number"):
        best_learning_rate(config(3e-4), tmp_path)


def test_without_a_grid_it_says_how_to_get_one(tmp_path):
    with pytest.raises(UserError, match=r"adapter=lora on tiny.*experiment=learning_rate"):
        best_learning_rate(config(3e-4), tmp_path)
