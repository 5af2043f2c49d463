"""The benchmark's own account; nothing here depends on the time that anything takes."""

import json

from denselora.speed import evaluation
from tests.tiny import question


def test_every_way_answers_the_same_rows(script, model_folder, data_folder, tmp_path):
    code, out, err = script(
        "benchmark",
        *(f"model.path={model_folder}", "data=local", f"data.path={data_folder}"),
        *(
            "parts=[evaluation]",
            "tasks=[boolq,piqa]",
            "limit=2",
            "protocol.decoding.max_new_tokens=4",
        ),
        f"output={tmp_path}/speed",
    )
    assert code == 0, err
    result = json.loads((tmp_path / "speed.json").read_text())
    rows = {row["name"]: row for row in result["evaluation"]["rows"]}
    assert rows[evaluation.REFERENCE]["ratio"] == rows[evaluation.REFERENCE]["same_answers"] == 1
    exact = next(row for name, row in rows.items() if name.startswith("exact"))
    assert exact["same_answers"] == 1 and exact["examples"] == 4 and exact["rounds"] == 2
    assert len(rows) == 5 and all(row["examples_per_s"] > 0 for row in rows.values())
    assert (tmp_path / "speed.md").read_text().strip() in out


def test_ratios_are_taken_round_by_round(monkeypatch):
    """With a clock that charges each way its price, the ratio is the prices' ratio."""
    now = [0.0]
    monkeypatch.setattr(evaluation, "now", lambda: now[0])

    def way(price):
        def answer(task, rows):
            now[0] += price * len(rows)
            return ["true"] * len(rows)

        return answer

    ways = {evaluation.REFERENCE: way(8.0), "twice as fast": way(4.0)}
    monkeypatch.setattr(evaluation, "_ways", lambda *_: ways)
    from datasets import Dataset

    from denselora.tasks import benchmark

    rows = Dataset.from_list([question(benchmark("boolq"), n) for n in range(3)])
    result = evaluation.evaluation_rows(None, {"boolq": rows, "piqa": rows}, 1)
    assert [row["ratio"] for row in result] == [1.0, 2.0]
    assert result[1]["examples_per_s"] == 1 / 4
