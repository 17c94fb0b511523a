"""A server before an HTTP server: it passes on what is asked, and lets some of it fail."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

import httpx

HOP: Final = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})
"""Headers of one connection only."""


@dataclass
class Fault:
    """What goes wrong, with which requests.

    Attributes:
        status: answered instead of passing on; 0 passes on.
        drop: close the connection without an answer.
        hang: answer when the test is over.
        replace: bytes, and what becomes of them on the way there and back.
        method, path, body: of the requests; path and body are parts of it. Empty for any.
        times: as often; None for always.
    """

    status: int = 0
    drop: bool = False
    hang: bool = False
    replace: tuple[bytes, bytes] = (b"", b"")
    method: str = ""
    path: str = ""
    body: bytes = b""
    times: int | None = None


@dataclass
class Front:
    """Serves on a free port of 127.0.0.1 while it is entered.

    Attributes:
        target: URL of the server behind it.
        faults: the first that fits a request decides.
        requests: methods and paths, in the order in which they came.
        connections: how many were made.
    """

    target: str
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._client = httpx.Client(trust_env=False, timeout=60)
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._client.close()

    def connected(self) -> None:
        """Count a connection."""
        with self._lock:
            self.connections += 1

    def answer(self, request: BaseHTTPRequestHandler) -> tuple[int, Any, bytes] | None:
        """Status, headers and body; None where the connection is to be closed."""
        method, path = request.command, request.path
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        fault = self._fault(method, path, body)
        if fault.hang:
            self._over.wait()
        if fault.drop or fault.hang:
            return None
        if fault.status:
            error = {"error": {"code": fault.status, "message": f"simulated {fault.status}"}}
            return fault.status, {"Content-Type": "application/json"}, json.dumps(error).encode()
        headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP | {"host"}}
        answer = self._client.request(
            method, self.target + path, headers=headers, content=body.replace(*fault.replace)
        )
        # Addresses to go on with lead here, too.
        kept = {
            name: value.replace(self.target, self.url)
            for name, value in answer.headers.items()
            if name not in HOP | {"content-encoding"}
        }
        content = answer.content.replace(self.target.encode(), self.url.encode())
        return answer.status_code, kept, content.replace(*fault.replace)

    def _fault(self, method: str, path: str, body: bytes) -> Fault:
        with self._lock:
            self.requests.append(f"{method} {path}")
            for fault in self.faults:
                fits = fault.method in ("", method) and fault.path in path and fault.body in body
                if fits and fault.times != 0:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return Fault()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, front: Front) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.front = front

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may hang up; anything else is told."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.front.connected()

    def _handle(self) -> None:
        answer = self.server.front.answer(self)
        if answer is None:
            self.close_connection = True
            return
        status, headers, body = answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _handle  # noqa: N815 - http.server's

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
