"""What README and docs print of records is what results/tables/, made from the records, has."""

import re

import pytest

from tests import ROOT

TABLES = (ROOT / "results/tables/commonsense.md").read_text()
README = (ROOT / "README.md").read_text()
SEEDS = r"\d+\.\d ± \d+\.\d"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| ").split("|")]


def test_each_row_of_the_readmes_table_is_a_row_of_the_tables():
    rows = [cells(line) for line in README.splitlines() if re.match(r"\| \w.*\d", line)]
    tables = [cells(line) for line in TABLES.splitlines() if line.startswith("|")]
    assert [row[0] for row in rows] == ["base", "LoRA r=32", "DenseLoRA r=16"]
    for method, trainable, *accuracies in rows:
        label, _, r = method.partition(" r=")
        assert any(
            row[:3] == [label, r or "–", trainable] and accuracies == row[at : at + 9]
            for row in tables
            for at in range(4, 8)
        )


@pytest.mark.parametrize("page", ["README.md", "docs/results.md", "data/mini/README.md"])
def test_each_mean_over_seeds_is_in_the_tables(page):
    text = " ".join((ROOT / page).read_text().split())
    assert set(re.findall(SEEDS, text)) <= set(re.findall(SEEDS, TABLES))


def test_the_readmes_python_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert code.count("path/to/model") == 2
    monkeypatch.chdir(tmp_path)
    exec(code.replace("path/to/model", str(ROOT / "data/mini/base")), {})
    assert "trainable params: 44,544" in capsys.readouterr().out
    assert (tmp_path / "adapter/adapter_model.safetensors").is_file()
