"""Runs that were only trained, in grids.csv."""

from dataclasses import replace
from multiprocessing import get_context

import pandas as pd
import pytest

from denselora.errors import UserError
from denselora.reproduce.grid import FILE, add_to_grids
from tests.training.trained import make_trained

CONFIG = {
    "model": {"label": "mini"}, "data": {"label": "mini"}, "seed": 42,
    "trainer": {"learning_rate": 1e-3}, "adapter": {},
}  # fmt: skip


def run(name, **method):
    trained = make_trained(CONFIG)
    return replace(trained, run_id=name, method=replace(trained.method, **method))


def test_a_run_of_the_same_id_takes_the_others_place(tmp_path):
    add_to_grids([run("a", r=4), run("b", r=None)], tmp_path)
    file = add_to_grids([run("b", r=8), run("c", r=16)], tmp_path)
    table = pd.read_csv(file)
    assert dict(zip(table["run_id"], table["r"], strict=True)) == {"a": 4, "b": 8, "c": 16}


def test_ranks_stay_whole_numbers_beside_methods_without_one(tmp_path):
    for runs in ([run("a", r=4)], [run("b", r=None)], [run("c", r=16)]):
        file = add_to_grids(runs, tmp_path)
    ranks = [line.split(",")[5] for line in file.read_text().splitlines()]
    assert sorted(ranks) == ["", "16", "4", "r"]
    again = file.read_bytes()
    assert add_to_grids([run("c", r=16)], tmp_path).read_bytes() == again


def test_texts_that_look_like_something_else_stay(tmp_path):
    odd = dict(CONFIG, data={"label": "007"}, model={"label": "None"})
    add_to_grids([replace(run("a"), config=odd)], tmp_path)
    (row, _) = add_to_grids([run("b")], tmp_path).read_text().splitlines()[1:]
    assert row.split(",")[1:3] == ["None", "007"]


def test_a_second_learning_rate_is_told_from_one(tmp_path):
    two = replace(run("b"), config={**CONFIG, "adapter": {"core_learning_rate_ratio": 0.25}})
    one = replace(run("a"), config={**CONFIG, "adapter": {"core_learning_rate_ratio": 1}})
    ratios = pd.read_csv(add_to_grids([one, two], tmp_path))["learning_rate_ratio"]
    assert ratios.isna().tolist() == [True, False] and ratios[1] == 0.25


def add(name, results):
    for number in range(5):
        add_to_grids([run(f"{name}{number}", r=4)], results)


def test_sweeps_that_end_at_once_all_have_their_rows(tmp_path):
    sweeps = [get_context("fork").Process(target=add, args=(name, tmp_path)) for name in "abcd"]
    for sweep in sweeps:
        sweep.start()
    for sweep in sweeps:
        sweep.join()
    assert len(pd.read_csv(tmp_path / FILE)) == 20
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "\x00\n", '"', "run_id\n"])
def test_another_file_is_not_written_over(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(UserError, match=r"grids\.csv"):
        add_to_grids([run("a", r=4)], tmp_path)
    assert (tmp_path / FILE).read_text() == content
