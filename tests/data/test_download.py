"""The download client against a real HTTP server on the loopback interface."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from denselora.data.download import FetchError, fetch
from denselora.errors import UserError

CONTENT = bytes(range(256)) * 400


class Server(ThreadingHTTPServer):
    """Serves CONTENT at /file; what else it does is set by the attributes."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.cuts: list[int] = []  # how many bytes each of the next answers breaks off after
        self.stall = False  # send half, then nothing
        self.errors: list[int] = []  # status of each of the next answers
        self.ranges = True  # whether Range is understood
        self.asked: list[str | None] = []  # the Range header of each request
        self.done = threading.Event()  # lets a stalled answer go

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.server.errors:
            return self.send_error(self.server.errors.pop(0))
        if self.path != "/file":
            return self.send_error(404)
        start = 0
        if wanted and self.server.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(CONTENT):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        else:
            self.send_response(200)
        body = CONTENT[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.stall:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.server.done.wait(5)
        elif self.server.cuts:
            self.wfile.write(body[: self.server.cuts.pop(0)])
        else:
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.done.set()
        server.shutdown()
        thread.join()


def expect_content(file: Path) -> int:
    if file.read_bytes() != CONTENT:
        raise FetchError("wrong content")
    return len(CONTENT)


def get(url: str, target: Path, check=expect_content, **options):
    return fetch(url, target, check, **{"timeout": 5, "pause": 0, **options})


def test_a_complete_answer_becomes_the_file(server, tmp_path):
    target = tmp_path / "new" / "file"
    assert get(server.url, target) == len(CONTENT)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def test_a_cut_off_answer_is_resumed_where_it_broke(server, tmp_path):
    server.cuts = [1000, 500]
    get(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000-", "bytes=1500-"]


def test_the_next_run_resumes_what_an_earlier_one_left(server, tmp_path):
    server.cuts = [1000]
    with pytest.raises(FetchError, match=r"cut off after 1,000 of 102,400 bytes; run again"):
        get(server.url, tmp_path / "file", attempts=1)
    assert not (tmp_path / "file").exists()
    get(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000-"]


def test_progress_resets_the_count_of_failures(server, tmp_path):
    server.cuts = [1000] * 9
    get(server.url, tmp_path / "file", attempts=2)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_the_whole_file_again(server, tmp_path):
    server.ranges, server.cuts = False, [1000]
    get(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_begun_anew(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT + b"more")
    get(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_wrong_content_keeps_nothing(server, tmp_path):
    def refuse(file: Path):
        raise FetchError("expected one thing, got another")

    with pytest.raises(FetchError, match="expected one thing, got another"):
        get(server.url, tmp_path / "file", refuse)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_reported_at_once_with_its_address(server, tmp_path):
    url = server.url.replace("/file", "/other")
    with pytest.raises(FetchError, match=r"/other: the server answered 404"):
        get(url, tmp_path / "file")
    assert len(server.asked) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.errors = [503, 429]
    get(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_stalled_connection_times_out_and_keeps_its_part(server, tmp_path):
    server.stall = True
    with pytest.raises(FetchError, match=r"no data for 0.2 s \(timeout\); run again to resume"):
        get(server.url, tmp_path / "file", timeout=0.2, attempts=1)
    assert (tmp_path / "file.part").read_bytes() == CONTENT[: len(CONTENT) // 2]
    assert not (tmp_path / "file").exists()


def test_a_server_that_is_gone_is_named(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(FetchError, match=rf"{server.url}: the connection failed"):
        get(server.url, tmp_path / "file", attempts=2)


def test_a_folder_that_is_a_file_is_the_users_mistake(server, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="taken/file: can't be written"):
        get(server.url, tmp_path / "taken" / "file")
