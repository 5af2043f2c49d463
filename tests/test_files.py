from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from denselora.errors import UserError, first_line
from denselora.files import check_writable, write_bytes, write_json, write_text, writing


def test_a_file_is_written_with_the_folders_above_it(tmp_path):
    write_json(tmp_path / "a" / "b.json", {"ü": 1})
    assert (tmp_path / "a" / "b.json").read_text(encoding="utf-8") == '{\n  "ü": 1\n}\n'


def test_a_file_that_cannot_be_written_stays_as_it_was_and_is_named(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(UserError, match=r"a\.json: can't be written .*; fix that and run again$"):
        write_json(tmp_path / "a.json", {})
    assert [file.name for file in tmp_path.rglob("*")] == ["a.json"]


def test_a_folder_that_is_a_file_is_the_users_mistake(tmp_path):
    (tmp_path / "taken").write_text("")
    with (
        pytest.raises(UserError, match=r"taken/a: can't be written .*; fix that and start over$"),
        writing(tmp_path / "taken" / "a", then="start over"),
    ):
        pass


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path, full_disk):
    write_bytes(tmp_path / "a", b"before")
    with full_disk(1000), pytest.raises(UserError, match="/a: can't be written"):
        write_bytes(tmp_path / "a", b"0" * 2000)
    assert (tmp_path / "a").read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_the_first_line_of_an_error_is_its_type_where_it_says_nothing():
    assert first_line(ValueError("\nno such thing\nat all")) == "no such thing"
    assert first_line(RuntimeError()) == "RuntimeError"


def test_processes_that_write_the_same_file_at_once_leave_it_whole(tmp_path):
    texts = [letter * 100_000 for letter in "abcd"]
    with ThreadPoolExecutor() as threads:
        list(threads.map(partial(write_text, tmp_path / "table.md"), 10 * texts))
        list(threads.map(partial(check_writable, option="results_dir"), 40 * [tmp_path]))
    assert (tmp_path / "table.md").read_text() in texts
    assert [file.name for file in tmp_path.iterdir()] == ["table.md"]
