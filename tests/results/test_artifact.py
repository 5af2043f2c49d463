import pytest

from denselora.errors import UserError
from denselora.results.artifact import check_wandb, log_files


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


def test_wandb_that_takes_nothing_is_one_line(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")

    def no_key(**options):
        raise wandb.errors.UsageError("No API key configured.\nUse `wandb login` to log in.")

    monkeypatch.setattr(wandb, "init", no_key)
    with pytest.raises(UserError, match=r"\(No API key configured\.\); `wandb login`, or"):
        log_files(tmp_path, [])


def test_wandb_without_a_key_is_known_beforehand(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    wandb.teardown()
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setattr(wandb, "login", lambda prompt: False)
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(UserError, match="tracker=wandb: no key; `wandb login`, or set WANDB_MODE"):
        check_wandb()
    wandb.teardown()
    monkeypatch.setenv("WANDB_MODE", "offline")
    check_wandb()
    wandb.teardown()
