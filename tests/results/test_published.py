import pytest
import yaml

from denselora.errors import UserError
from denselora.results.published import PUBLISHED, read_published
from denselora.results.record import COLUMNS


def test_published_columns_are_the_suites_own_in_their_order():
    published = read_published(PUBLISHED)
    for suite, labels in COLUMNS.items():
        columns = getattr(published, suite).columns
        assert columns == [label for label in labels.values() if label in columns]


def test_every_published_row_names_its_source():
    published = read_published(PUBLISHED)
    assert all(row.source for row in published.commonsense.rows + published.math.rows)


def test_complete_published_rows_average_to_what_they_print():
    # catches slips in copying; a row whose source contradicts itself says so
    published = read_published(PUBLISHED)
    for row in published.commonsense.rows + published.math.rows:
        if row.cells and None not in row.cells and "mean would be" not in row.remark:
            assert sum(row.cells) / len(row.cells) == pytest.approx(row.average, abs=0.0751)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"trust": "rumour"}, "commonsense.rows.0.trust"),
        ({"cells": [1.0]}, "commonsense: LoRA r=32"),
        ({"colour": "red"}, "commonsense.rows.0.colour"),
    ],
)
def test_fault_is_reported_with_file_and_key(tmp_path, change, expected):
    content = yaml.safe_load(PUBLISHED.read_text())
    content["commonsense"]["rows"][0] |= change
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError) as error:
        read_published(path)
    assert str(error.value).startswith(f"{path}: {expected}")


def test_missing_or_broken_file_is_reported(tmp_path):
    path = tmp_path / "published.yaml"
    with pytest.raises(UserError, match=r"published\.yaml: can't be read"):
        read_published(path)
    path.write_text("a: [1")
    with pytest.raises(UserError, match=r"published\.yaml: not YAML"):
        read_published(path)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "empty"),
        (b"a: \xe9", "not UTF-8"),
        ("a: 1".encode("utf-16"), "UTF-16"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"- 1", "published.yaml: "),
        (b"\x07", "not YAML"),
        (b"commonsense: 2026-13-45", "not YAML"),
    ],
)
def test_what_is_no_published_file_is_one_line(tmp_path, content, fault):
    path = tmp_path / "published.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=fault) as error:
        read_published(path)
    assert "\n" not in str(error.value) and str(error.value).endswith("restore it from git")
