import json

from denselora.evaluation.recount import judged_anew
from denselora.results.predictions import count
from denselora.tasks import benchmark


def test_rows_that_are_judged_otherwise_now_are_counted(paper, tmp_path):
    row = {"id": 0, "prompt_hash": "", "raw": "true", "parsed": "true", "gold": "true"}
    rows = [row | {"correct": True}, row | {"id": 1, "raw": "false", "correct": True}]
    file = tmp_path / "boolq.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in rows))
    rows, changed = judged_anew(file, benchmark("boolq"), paper)
    figures = count(rows)
    assert (figures["n"], figures["correct"], changed) == (2, 1, 1)
