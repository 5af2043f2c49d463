import pytest

from denselora import processes
from denselora.errors import UserError
from denselora.processes import check_alike


def test_processes_that_found_something_else_all_end(monkeypatch):
    found = {"the checkpoint to go on from": "step-000080", "precision": "torch.float32"}
    check_alike(found, "wait")  # one process
    seen = [found, found | {"the checkpoint to go on from": None}]
    monkeypatch.setattr(processes, "gather_object", lambda mine: seen)
    with pytest.raises(UserError, match=r"go on from \(step-000080 and None\); wait"):
        check_alike(found, "wait")
