"""The loop's benchmark accounts for what it computes; nothing here depends on time."""

import statistics

import pytest

from denselora.command_line.configs import composed
from denselora.speed import loop
from tests.tiny import TINY


@pytest.fixture(scope="module")
def measured():
    shape = {k: v for k, v in TINY.items() if k != "max_position_embeddings"}
    config = "{" + ", ".join(f"{k}: {v}" for k, v in shape.items()) + "}"
    options = [
        f"loop.shapes.cpu=[{{name: tiny, config: {config}, precision: float32}}]",
        "loop.rounds=2",
        "loop.rank=4",
    ]
    return loop.measure(composed("benchmark", options))


def test_both_loops_give_the_same_gradients_and_only_theirs_is_padded(measured):
    theirs, ours = measured[0]["rows"]
    assert (theirs["name"], ours["name"]) == (loop.AUTHORS, loop.OURS)
    assert 0 == theirs["gradients_off_by"] < ours["gradients_off_by"] < 1e-5
    assert theirs["padding"] > 0.2 and ours["padding"] == 0
    assert theirs["ratio"] == 1 and ours["lowest"] <= ours["ratio"] <= ours["highest"]
    assert min(theirs["peak_bytes"], ours["peak_bytes"]) > 0
    assert "this loop" in loop.table(measured)


def test_lengths_are_those_of_the_papers_rows():
    lengths = loop.lengths(100_000, seed=0)
    assert 122 < statistics.mean(lengths) < 126
    assert statistics.median(lengths) == pytest.approx(97, abs=1)
    assert lengths.max() == 256 and lengths.min() > 45


def test_a_missing_gradient_is_found(monkeypatch):
    with pytest.raises(AssertionError, match="no gradient"):
        way = loop.Ours.__new__(loop.Ours)
        weight = loop.torch.nn.Parameter(loop.torch.zeros(1))
        way.dropout = 0.05
        way.model = loop.nn.ParameterDict({"core": weight})
        way.optimizer = loop.torch.optim.AdamW([weight])
        monkeypatch.setattr(loop.Ours, "backward", lambda self, rows: 0)
        way.gradients([])


def test_after_the_comparison_without_dropout_the_blocks_are_compiled_afresh(monkeypatch):
    monkeypatch.setattr(loop.Ours, "gradients", lambda self, rows: {"seen with": self.blocks})
    monkeypatch.setattr(loop.Compiled, "prepare", lambda self: "afresh")
    way = loop.Compiled.__new__(loop.Compiled)
    way.blocks = "compiled without dropout"
    assert way.gradients([]) == {"seen with": "compiled without dropout"}
    assert way.blocks == "afresh"
