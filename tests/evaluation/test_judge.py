import json

from denselora.evaluation.judge import count, recount
from denselora.tasks import benchmark


def test_counts_unparsed_and_ambiguous():
    rows = [
        {"correct": True, "parsed": "true", "named": ["true"]},
        {"correct": False, "parsed": "true", "named": ["false", "true"]},
        {"correct": False, "parsed": None, "named": []},
    ]
    assert count(rows) == {"n": 3, "correct": 1, "unparsed": 1, "ambiguous": 1}


def test_recount_tells_rows_that_are_judged_otherwise_now(paper, tmp_path):
    row = {"id": 0, "prompt_hash": "", "raw": "true", "parsed": "true", "gold": "true"}
    rows = [row | {"correct": True}, row | {"id": 1, "raw": "false", "correct": True}]
    file = tmp_path / "boolq.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in rows))
    figures, changed = recount(file, benchmark("boolq"), paper, "generate")
    assert (figures["n"], figures["correct"], changed) == (2, 1, 1)
