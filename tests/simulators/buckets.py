"""A simulator of Cloud Storage's buckets: their JSON, with the settings that fake-gcs-server drops."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

BUCKETS: Final = "/storage/v1/b"


@dataclass
class BucketSimulator:
    """Buckets without objects; entered, it serves on a free port of 127.0.0.1.

    Attributes:
        buckets: by name, in the names of the JSON API.
        status: answered to everything; 0 answers as asked.
        writes: methods and paths of all requests that change something.
    """

    buckets: dict[str, dict[str, Any]] = field(default_factory=dict)
    status: int = 0
    writes: list[str] = field(default_factory=list)
    url: str = ""

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body."""
        if self.status:
            return self.status, _error(self.status, f"simulated {self.status}")
        if method != "GET":
            self.writes.append(f"{method} {urlsplit(path).path}")
        name = urlsplit(path).path.removeprefix(BUCKETS).strip("/")
        if method == "POST":
            name = body["name"]
            if name in self.buckets:
                return 409, _error(
                    409, "Your previous request to create the named bucket succeeded."
                )
            project = parse_qs(urlsplit(path).query).get("project", [""])[0]
            access = {"uniformBucketLevelAccess": {"enabled": False}}
            self.buckets[name] = {"iamConfiguration": access, "project": project, **body}
        elif name not in self.buckets:
            return 404, _error(404, "The specified bucket does not exist.")
        elif method == "PATCH":
            self.buckets[name] |= body
        return 200, self.buckets[name]


def _error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, simulator: BucketSimulator) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.simulator = simulator


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _answer(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, document = self.server.simulator.answer(
            self.command, self.path, json.loads(data or b"{}")
        )
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Look."""
        self._answer()

    def do_POST(self) -> None:
        """Make."""
        self._answer()

    def do_PATCH(self) -> None:
        """Change."""
        self._answer()

    def log_message(self, *_: Any) -> None:
        """Nothing."""
