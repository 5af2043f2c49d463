"""The benchmark's own account; nothing here depends on the time that anything takes."""

import json

import pytest

from denselora.speed import step


@pytest.fixture
def entry(script, tmp_path):
    shape = (
        "[{name: tiny, config: {hidden_size: 32, intermediate_size: 48, num_attention_heads: 4, "
        "num_key_value_heads: 2}, layers: 2, tokens: 10, precision: float32, recorded: false}]"
    )
    code, out, err = script(
        *("benchmark", "parts=[step]", "step.rounds=2", "step.ranks=[4]"),
        *(f"step.shapes={{cpu: {shape}, cuda: {shape}}}", f"output={tmp_path}/speed"),
    )
    assert code == 0, err
    assert (tmp_path / "speed.md").read_text().strip() in out
    (entry,) = json.loads((tmp_path / "speed.json").read_text())["step"]
    return entry


def test_every_method_is_timed_and_its_bytes_counted(entry):
    rows = {row["name"]: row for row in entry["rows"]}
    assert list(rows) == [step.BASE, step.LORA, step.NAIVE, step.OURS]
    for name, row in rows.items():
        assert row["seconds"] > 0 and row["peak_bytes"] > 0
        assert row["to"][name] == {"ratio": 1, "lowest": 1, "highest": 1}
    kept = {name: row["kept_bytes_per_token_and_layer"] for name, row in rows.items()}
    # x once for q, k and v, and that of up and down; five r-vectors; five seeds over ten tokens
    assert kept[step.OURS] == 4 * (32 + 32 + 48) + 5 * 4 * 4 + 5 * 8 / 10
    # per module x after dropout, its mask and an r-vector
    assert kept[step.LORA] == 4 * 2 * (4 * 32 + 48) + 5 * 4 * 4
    assert kept[step.BASE] == 0 < kept[step.LORA] < kept[step.NAIVE]


def test_an_unknown_part_is_one_line(script):
    code, _, err = script("benchmark", "parts=[steps]")
    assert (code, err.strip()) == (2, "error: parts: steps is none of step, loop, evaluation")
