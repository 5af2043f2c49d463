import os

import pytest

from denselora.errors import UserError
from denselora.readers import read_json, read_text


def refused(file, read=read_text) -> str:
    with pytest.raises(UserError) as error:
        read(file, "get it again")
    message = str(error.value)
    assert message.startswith(f"{file}: ") and message.endswith("; get it again")
    assert "\n" not in message
    return message


def test_text_and_json_are_read_as_they_stand(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('{"é": "\u2028"}\n', encoding="utf-8")
    assert read_text(file, "") == '{"é": "\u2028"}\n'
    assert read_json(file, "") == {"é": "\u2028"}
    file.write_text("[1]")
    assert read_json(file, "", list) == [1]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf{}", "a byte order mark"),
        ("{}".encode("utf-16"), "UTF-16"),
        ("{}".encode("utf-16-le"), "UTF-16"),
        ("{}".encode("utf-32"), "UTF-16 or UTF-32"),
        (b'{"a": "\xe9"}', "not UTF-8 text, see byte 7"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\n<!doctype html><html>", "an HTML page"),
    ],
)
def test_a_file_that_is_no_text_of_ours_is_named_with_what_it_is(tmp_path, content, fault):
    file = tmp_path / "a.json"
    file.write_bytes(content)
    assert fault in refused(file)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": 1,\n "b": }', "malformed JSON in line 2, column 7"),
        ("[" * 100_000, "can't be read (maximum recursion"),
        ("9" * 5000, "can't be read (Exceeds the limit"),
        ("[]", "a list, expected an object"),
        ("null", "null, expected an object"),
        ("1.5", "a number, expected an object"),
    ],
)
def test_json_that_is_malformed_or_of_another_kind_is_named(tmp_path, text, fault):
    file = tmp_path / "a.json"
    file.write_text(text)
    assert fault in refused(file, read_json)


def test_what_is_no_file_is_never_waited_for(tmp_path):
    assert "No such file" in refused(tmp_path / "nowhere")
    assert "a folder, not a file" in refused(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "a pipe, socket or device, not a file" in refused(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    assert "can't be read" in refused(tmp_path / "loop")
