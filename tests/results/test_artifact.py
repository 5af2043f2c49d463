import pytest

from denselora.results.artifact import log_files


def test_tables_and_figures_are_logged_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    wandb.teardown()  # it reads the folder once in a process
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path))
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/commonsense.md").write_text("a table")
    log_files(tmp_path, [tmp_path / "tables/commonsense.md"])
    wandb.teardown()
    (log,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert b"tables/commonsense.md" in log.read_bytes()
