"""A server that speaks generateContent and countTokens as Gemini does; `python -m tests.simulators.gemini`.

It answers on 127.0.0.1 only, to the paths of the Gemini API and of Vertex AI, and goes wrong in
all the ways of FAULTS: where the test plans it, or where a title names a fault in brackets.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import socket
import struct
import sys
import threading
import time
from collections import defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable

_PATH: Final = re.compile(
    r"/v1(?:beta1?)?/.*?models/(?P<model>[^/:]+):(?:generateContent|countTokens)"
)
_TITLE: Final = re.compile(r"<title>\n(.*?)\n</title>", re.DOTALL)
_LANGUAGE: Final = re.compile(r"(?:in the language|from \S+ to) ([A-Za-z0-9-]+)")
_NAMED: Final = re.compile(r"\[([\w:]+)\]")
_RPC: Final = "type.googleapis.com/google.rpc."


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def model(self) -> str:
        """From the path."""
        found = _PATH.fullmatch(self.path)
        return found["model"] if found else ""

    @property
    def user(self) -> str:
        """The message."""
        return "".join(part["text"] for part in self.body["contents"][-1]["parts"])

    @property
    def title(self) -> str:
        """The title that the message names."""
        found = _TITLE.search(self.user)
        return found[1] if found else ""

    @property
    def language(self) -> str:
        """The language that the message asks for."""
        found = _LANGUAGE.search(self.user)
        return found[1] if found else ""

    @property
    def task(self) -> str:
        """`adaptation` where there is a script to adapt, else `variation`."""
        return "adaptation" if "<script>" in self.user else "variation"


@dataclass(frozen=True, slots=True)
class Reply:
    """A response: status, and a body that is JSON unless it is bytes."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


def answer_text(title: str, language: str, user: str) -> str:
    """What the simulator writes: the same for the same message, another for any other."""
    mark = hashlib.sha256(user.encode()).hexdigest()[:8]
    return f"A simulated script in {language} on {title}. Its mark is {mark}."


def answered(text: str, finish: str = "STOP", *thoughts: str) -> Reply:
    """A whole response, its text in two parts."""
    half = len(text) // 2
    parts: list[dict[str, Any]] = [{"text": thought, "thought": True} for thought in thoughts]
    parts += [{"text": part} for part in (text[:half], text[half:]) if part]
    candidate = {"content": {"parts": parts, "role": "model"}, "finishReason": finish, "index": 0}
    if not parts:
        del candidate["content"]
    return Reply(200, _response(candidates=[candidate]))


def _response(**fields: Any) -> dict[str, Any]:
    usage = {
        "promptTokenCount": 120,
        "candidatesTokenCount": 30,
        "thoughtsTokenCount": 7,
        "totalTokenCount": 157,
    }
    return {**fields, "usageMetadata": usage, "modelVersion": "gemini-simulated-001"}


def failed(code: int, status: str, message: str, *details: dict[str, Any], **headers: str) -> Reply:
    """An error as Google's services write it."""
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    if details:
        error["details"] = list(details)
    return Reply(
        code, {"error": error}, {name.replace("_", "-"): headers[name] for name in headers}
    )


def rate_limited(seconds: float | None = None) -> Reply:
    """429, with RetryInfo where seconds are given."""
    info = [{"@type": f"{_RPC}RetryInfo", "retryDelay": f"{seconds:g}s"}] if seconds else []
    return failed(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted.", *info)


def _quota(message: str, **violation: str) -> Reply:
    failure = {"@type": f"{_RPC}QuotaFailure", "violations": [violation]}
    info = {"@type": f"{_RPC}RetryInfo", "retryDelay": "58s"}
    return failed(429, "RESOURCE_EXHAUSTED", message, failure, info)


FINISHES: Final = (
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "OTHER",
    "A_REASON_OF_NEXT_YEAR",
)
BLOCKS: Final = ("SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "A_REASON_OF_NEXT_YEAR")

REPLIES: Final = {
    "thoughts": answered("What was thought is not said.", "STOP", "Thinking of it,", "still."),
    "empty": Reply(200, _response(candidates=[])),
    "empty_stop": answered("", "STOP"),
    "blank_stop": answered(" \n", "STOP"),
    "only_thoughts": answered("", "STOP", "Thinking of it."),
    "no_finish": answered("It ends in the", ""),
    "max_tokens_no_parts": answered("", "MAX_TOKENS"),
    **{f"finish:{reason}": answered("It ends in the", reason) for reason in FINISHES},
    **{
        f"block:{why}": Reply(200, _response(promptFeedback={"blockReason": why})) for why in BLOCKS
    },
    "rate_limited": rate_limited(),
    "rate_limited_58s": rate_limited(58),
    "rate_limited_header": failed(429, "RESOURCE_EXHAUSTED", "Slow down.", retry_after="12"),
    "quota_minute": _quota(
        "You exceeded your current quota.",
        quotaId="GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
        quotaValue="10",
    ),
    "quota_day": _quota(
        "You exceeded your current quota.",
        quotaId="GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        quotaValue="50",
    ),
    "quota_zero": _quota(
        "You exceeded your current quota.",
        quotaId="GenerateRequestsPerMinutePerProjectPerModel",
        quotaValue="0",
    ),
    "quota_limit_0": failed(
        429,
        "RESOURCE_EXHAUSTED",
        "Quota exceeded for metric: generate_content_free_tier_requests, limit: 0\n",
    ),
    "invalid": failed(400, "INVALID_ARGUMENT", "topK must be positive."),
    "bad_key": failed(
        400,
        "INVALID_ARGUMENT",
        "API key not valid. Please pass a valid API key.",
        {"@type": f"{_RPC}ErrorInfo", "reason": "API_KEY_INVALID"},
    ),
    "unauthenticated": failed(401, "UNAUTHENTICATED", "No valid credentials."),
    "permission": failed(403, "PERMISSION_DENIED", "Generative Language API is not enabled."),
    "not_found": failed(404, "NOT_FOUND", "models/gemini-0 is not found."),
    "cancelled": failed(499, "CANCELLED", "The operation was cancelled."),
    "internal": failed(500, "INTERNAL", "An internal error has occurred."),
    "bad_gateway": Reply(502, b"<html>Bad Gateway</html>"),
    "unavailable": failed(503, "UNAVAILABLE", "The model is overloaded."),
    "deadline": failed(504, "DEADLINE_EXCEEDED", "Deadline expired."),
    "redirect": Reply(307, b"", {"Location": "/elsewhere"}),
    "malformed": Reply(200, b'{"candidates": [{'),
    "no_json": Reply(200, b"<html>Welcome to the hotel</html>"),
    "wrong_shape": Reply(200, ["candidates"]),
    "no_text": Reply(503, b"\xff\xfe\x00"),
    "nothing": Reply(200, b""),
}
WIRE: Final = ("hang", "reset", "truncated")
FAULTS: Final = (*REPLIES, *WIRE, "suspended")
"""Everything that can be planned; `suspended` names the caller's key, as the service does."""


class GeminiSimulator:
    """The server, while it is entered.

    Args:
        port: 0 takes any that is free.
        latency: seconds that an answer takes.
        quota: calls that succeed in any 60 seconds; None for any number.
        clock: seconds, for the quota.

    Attributes:
        calls: everything that arrived, in order.
        under_way: how many of them are not answered yet.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        latency: float = 0.0,
        quota: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.calls: list[Call] = []
        self.under_way = 0
        self._latency, self._quota, self._clock = latency, quota, clock
        self._planned: dict[str, deque[str]] = defaultdict(deque)
        self._answered: deque[float] = deque()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._going = threading.Event()
        self._going.set()
        self._connections: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.simulator = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name="gemini-simulator"
        )

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def plan(self, *faults: str, title: str = "") -> None:
        """Let the next calls fail so, in turn; those of a title, or else of any.

        A fault that ends with `*` stays: all further calls fail so.
        """
        unknown = {fault.removesuffix("*") for fault in faults} - {*FAULTS, ""}
        if unknown:
            raise ValueError(f"no such faults: {', '.join(sorted(unknown))}")
        with self._lock:
            self._planned[title].extend(faults)

    def hold(self) -> None:
        """Answer nothing until `go_on`."""
        self._going.clear()

    def go_on(self) -> None:
        """Answer what was held back, and what comes."""
        self._going.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._going.set()
        self._server.shutdown()
        with self._lock:
            for connection in self._connections:
                _hang_up(connection)
        self._server.server_close()
        self._thread.join()

    def connected(self, connection: socket.socket) -> None:
        """A connection to hang up in the end."""
        with self._lock:
            self._connections.add(connection)

    def disconnected(self, connection: socket.socket) -> None:
        """It is over by itself."""
        with self._lock:
            self._connections.discard(connection)

    def take(self, call: Call) -> str:
        """Record a call; the fault that is its due, or nothing."""
        with self._lock:
            self.calls.append(call)
            self.under_way += 1
            for title in (call.title, ""):
                if planned := self._planned.get(title):
                    fault = planned[0] if planned[0].endswith("*") else planned.popleft()
                    return fault.removesuffix("*")
        named = _NAMED.search(call.title)
        return named[1] if named and named[1] in FAULTS else ""

    def done(self) -> None:
        """A call that was taken has its answer, or never will."""
        with self._lock:
            self.under_way -= 1

    def reply(self, call: Call, fault: str) -> Reply:
        """What is answered to a call, when its time has come."""
        self._stopping.wait(self._latency)
        self._going.wait()
        if fault == "suspended":
            key = call.headers.get("x-goog-api-key", "")
            message = f"Permission denied: Consumer 'api_key:{key}' has been suspended."
            return failed(403, "PERMISSION_DENIED", message)
        if fault:
            return REPLIES[fault]
        if not call.model:
            return failed(404, "NOT_FOUND", f"{call.path} is not found.")
        if not call.headers.get("x-goog-api-key") and not call.headers.get("authorization"):
            return REPLIES["unauthenticated"]
        return self._served(call)

    def _served(self, call: Call) -> Reply:
        """What a call that is right is answered; counting has a quota of its own, which is large."""
        if call.path.endswith(":countTokens"):
            return Reply(200, {"totalTokens": len(call.user.split())})
        if wait := self._over_quota():
            return rate_limited(wait)
        return answered(answer_text(call.title, call.language, call.user))

    def _over_quota(self) -> float:
        """Seconds until there is room; 0 where there is."""
        if self._quota is None:
            return 0.0
        with self._lock:
            now = self._clock()
            while self._answered and self._answered[0] <= now - 60:
                self._answered.popleft()
            if len(self._answered) < self._quota:
                self._answered.append(now)
                return 0.0
            return self._answered[0] + 60 - now if self._answered else 60.0

    def wait_for_the_end(self) -> None:
        """Let a call hang."""
        self._stopping.wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # they end with their connections, and server_close waits for them
    request_queue_size = 256
    simulator: GeminiSimulator

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hangs up is no error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.simulator.connected(self.connection)

    def finish(self) -> None:
        self.server.simulator.disconnected(self.connection)
        super().finish()

    def do_POST(self) -> None:
        """Answer a call."""
        size = int(self.headers["Content-Length"])
        data = self.rfile.read(size)
        if len(data) < size:  # the caller has died
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = Call(self.path, headers, json.loads(data))
        simulator = self.server.simulator
        fault = simulator.take(call)
        try:
            self._answer(call, fault)
        finally:
            simulator.done()

    def _answer(self, call: Call, fault: str) -> None:
        simulator = self.server.simulator
        if fault == "hang":
            self.close_connection = True
            simulator.wait_for_the_end()
        elif fault == "reset":
            self.close_connection = True
            linger = struct.pack("ii", 1, 0)  # closing sends RST instead of FIN
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        elif fault == "truncated":
            self.close_connection = True
            self._send(answered("It ends in the middle."), missing=20)
        else:
            self._send(simulator.reply(call, fault))

    def _send(self, reply: Reply, missing: int = 0) -> None:
        raw = isinstance(reply.body, bytes)
        body = reply.body if raw else json.dumps(reply.body, ensure_ascii=False).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "text/html" if raw else "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) - missing])
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        """Nothing; the calls are recorded."""


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):  # the other side was faster
        connection.shutdown(socket.SHUT_RDWR)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulators.gemini",
        description="Gemini's generateContent on 127.0.0.1, for --gemini_endpoint.",
        epilog=f"A title with a fault in brackets fails so: {', '.join(FAULTS)}.",
    )
    parser.add_argument("--port", type=int, default=8089)
    parser.add_argument("--latency", type=float, default=0.6, metavar="SECONDS")
    parser.add_argument("--quota", type=int, metavar="N", help="calls in any 60 seconds")
    parser.add_argument(
        "--fault", action="append", default=[], help="the next call fails so; may be repeated"
    )
    asked = parser.parse_args()
    with GeminiSimulator(asked.port, latency=asked.latency, quota=asked.quota) as simulator:
        simulator.plan(*asked.fault)
        try:  # whoever reads the line may interrupt at once
            print(f"--writer gemini --gemini_endpoint {simulator.url}", flush=True)
            threading.Event().wait()
        except KeyboardInterrupt:
            print(f"{len(simulator.calls)} calls")


if __name__ == "__main__":
    main()
