"""A stand-in of the Hugging Face hub, on this machine: takes repositories, files and commits."""

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

TOKEN = "hf_test"
READ_ONLY = "hf_reads"
OID = "0" * 40


class Hub(ThreadingHTTPServer):
    """repos: name -> visibility. files: path -> content, of all commits. messages: of commits."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos, self.files, self.stored, self.messages = {}, {}, {}, []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def running_hub():
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_):
        pass

    def do_GET(self):
        name = self.path.removeprefix("/api/models/").partition("/revision")[0]
        if name in self.server.repos:
            self._answer({"id": name, "sha": OID, "siblings": [], "private": True, "tags": []})
        else:
            self._answer({"error": "not found"}, 404)

    def do_PUT(self):
        self.server.stored[self.path.removeprefix("/stored/")] = self._body()
        self._answer({})

    def do_POST(self):
        body = self._body()
        token = self.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in (TOKEN, READ_ONLY):
            self._answer({"error": "Invalid credentials"}, 401)
        elif self.path == "/api/validate-yaml":
            self._validate(json.loads(body)["content"])
        elif token == READ_ONLY:
            self._answer({"error": "You don't have the rights"}, 403)
        elif self.path == "/api/repos/create":
            self._create(json.loads(body))
        elif "/preupload/" in self.path:
            self._answer({"files": [_mode(file["path"]) for file in json.loads(body)["files"]]})
        elif self.path.endswith("/info/lfs/objects/batch"):
            self._batch(json.loads(body))
        elif "/commit/" in self.path:
            self._commit([json.loads(line) for line in body.splitlines()])
        else:
            self._answer({"error": f"not there: {self.path}"}, 404)

    def _validate(self, card: str) -> None:
        """What the hub checks first: metadata are YAML, a mapping, with a known licence."""
        try:
            data = yaml.safe_load(card.split("---\n")[1])
            faults = [] if isinstance(data, dict) else ["metadata: not a mapping"]
        except (yaml.YAMLError, IndexError):
            faults = ["metadata: not YAML"]
        errors = [{"message": fault} for fault in faults]
        self._answer({"errors": errors, "warnings": []}, 400 if errors else 200)

    def _create(self, asked: dict) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        exists = name in self.server.repos
        self.server.repos.setdefault(name, asked.get("visibility"))
        self._answer({"url": f"{self.server.address}/{name}"}, 409 if exists else 200)

    def _batch(self, asked: dict) -> None:
        self._answer(
            {
                "transfer": "basic",
                "objects": [
                    {
                        **one,
                        "actions": {
                            "upload": {"href": f"{self.server.address}/stored/{one['oid']}"}
                        },
                    }
                    for one in asked["objects"]
                ],
            }
        )

    def _commit(self, lines: list[dict]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.server.messages.append(value["summary"])
            elif line["key"] == "file":
                self.server.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[value["path"]] = self.server.stored[value["oid"]]
        self._answer({"commitUrl": f"{self.server.address}/a/b/commit/{OID}", "commitOid": OID})

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def _answer(self, content: dict, status: int = 200) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def _mode(path: str) -> dict:
    mode = "lfs" if path.endswith(".safetensors") else "regular"
    return {"path": path, "uploadMode": mode, "shouldIgnore": False}
