"""Dataflow's jobs on this machine: the REST of `projects.locations.jobs`, and a token for clients.

It keeps what is submitted and obeys what jobs are asked for; it runs nothing. As Google's, it
leaves labels out of a list, gives steps only to whoever asks for all of a job, and refuses to
change a job that has ended.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.cloud.dataflow_v1beta3 import Job
from google.protobuf import json_format

if TYPE_CHECKING:
    from pathlib import Path

TOKEN: Final = "a-token-of-this-machine"  # noqa: S105 - opens nothing
_PATH: Final = re.compile(r"/v1b3/projects/([^/]+)/locations/([^/]+)/jobs(?:/([^/]+))?")
_ENDED: Final = {
    "JOB_STATE_CANCELLED",
    "JOB_STATE_DRAINED",
    "JOB_STATE_UPDATED",
    "JOB_STATE_FAILED",
}
_STATES: Final = {
    "JOB_STATE_DRAINED": "JOB_STATE_DRAINING",
    "JOB_STATE_DRAINING": "JOB_STATE_DRAINING",
    "JOB_STATE_CANCELLED": "JOB_STATE_CANCELLED",
}
"""Requested state → the state that follows at once."""
_SUMMARY: Final = (
    "id",
    "name",
    "projectId",
    "location",
    "type",
    "currentState",
    "createTime",
    "replaceJobId",
)


class _Problem(Exception):
    def __init__(self, code: int, status: str, message: str) -> None:
        super().__init__(message)
        self.code, self.status = code, status


class DataflowSimulator:
    """A server in Dataflow's place; entered, it serves.

    Attributes:
        url: where it is; Beam takes the name `localhost` for a server without TLS.
        jobs: job id → the job as JSON, as it was submitted and has changed since.
        page: jobs of one page of a list.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.page = 2
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://localhost:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def access(self, folder: Path) -> dict[str, str]:
        """Variables with which Google's clients have an account, and reach nobody but this machine.

        Args:
            folder: takes the account's key file.
        """
        return {
            "GOOGLE_APPLICATION_CREDENTIALS": self._account(folder),
            # The library of credentials asks Google about the account, in a thread of its own.
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "localhost,127.0.0.1",
        }

    def _account(self, folder: Path) -> str:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path = folder / "account.json"
        account = {
            "type": "service_account",
            "project_id": "test",
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": "roteiro@test.iam.gserviceaccount.com",
            "token_uri": f"{self.url}/token",
        }
        path.write_text(json.dumps(account), "utf-8")
        return str(path)

    def add(self, name: str, **fields: Any) -> str:
        """Have a job that somebody submitted; returns its id."""
        return str(self.create("test", "europe-west1", {"name": name, **fields})["id"])

    def answer(self, method: str, path: str, query: str, body: bytes) -> dict[str, Any]:
        """What a request is answered with."""
        found = _PATH.fullmatch(path)
        if found is None:
            raise _Problem(404, "NOT_FOUND", path)
        project, region, job_id = found.groups()
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        match (method, job_id):
            case ("POST", None):
                return self.create(project, region, _sent(body))
            case ("GET", None):
                return self.list(asked.get("filter", ""), asked.get("pageToken", ""))
            case ("GET", _):
                return self.get(job_id, asked.get("view", ""))
            case ("PUT", _):
                return self.update(job_id, _sent(body))
        raise _Problem(405, "UNIMPLEMENTED", method)

    def create(self, project: str, region: str, job: dict[str, Any]) -> dict[str, Any]:
        """Take a job; a name that is taken answers with the job that has it, as Dataflow does."""
        with self._lock:
            for other in self.jobs.values():
                if other["name"] == job["name"] and other["currentState"] not in _ENDED:
                    if other["id"] != job.get("replaceJobId"):
                        return other
                    other["currentState"] = "JOB_STATE_UPDATED"
            job_id = f"2026-01-01_00_00_{len(self.jobs):02}-{uuid.uuid4().int % 10**18}"
            made = {
                "type": "JOB_TYPE_STREAMING",
                "currentState": "JOB_STATE_RUNNING",
                **job,
                "id": job_id,
                "projectId": project,
                "location": region,
                "createTime": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            }
            self.jobs[job_id] = made
            return made

    def get(self, job_id: str, view: str) -> dict[str, Any]:
        """One job."""
        if job_id not in self.jobs:
            raise _Problem(404, "NOT_FOUND", f"({job_id}) Information about job could not be found")
        job = self.jobs[job_id]
        return job if view in {"2", "JOB_VIEW_ALL"} else _summary(job)

    def list(self, wanted: str, token: str) -> dict[str, Any]:
        """A page of summaries."""
        active = wanted in {"3", "ACTIVE"}
        found = [
            _summary(job)
            for job in self.jobs.values()
            if not (active and job["currentState"] in _ENDED)
        ]
        start = int(token or 0)
        answer: dict[str, Any] = {"jobs": found[start : start + self.page]}
        if len(found) > start + self.page:
            answer["nextPageToken"] = str(start + self.page)
        return answer

    def update(self, job_id: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Ask a job for a state."""
        job = self.get(job_id, "JOB_VIEW_ALL")
        state = asked.get("requestedState", "")
        if state not in _STATES or job["currentState"] in _ENDED:
            raise _Problem(400, "FAILED_PRECONDITION", f"({job_id}) is {job['currentState']}")
        job["requestedState"] = state
        job["currentState"] = _STATES[state]
        return job


def _summary(job: dict[str, Any]) -> dict[str, Any]:
    return {name: job[name] for name in _SUMMARY if name in job}


def _sent(body: bytes) -> dict[str, Any]:
    """A job as it came; what the API does not know is an error, and enums go by name."""
    try:
        job = json_format.Parse(body, Job.pb(Job()))
    except json_format.ParseError as error:
        raise _Problem(400, "INVALID_ARGUMENT", str(error)) from None
    return dict(json_format.MessageToDict(job))


def _known(authorization: str) -> bool:
    """Whether it is our token, or what a service account signs itself, unlooked at."""
    token = authorization.removeprefix("Bearer ")
    return token == TOKEN or token.count(".") == 2


def _handler(simulator: DataflowSimulator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _answer(self) -> None:
            body = self._body()
            try:
                code, told = 200, self._told(body)
            except _Problem as problem:
                code = problem.code
                error = {"code": code, "status": problem.status, "message": str(problem)}
                told = {"error": error}
            data = json.dumps(told).encode()
            with suppress(BrokenPipeError):
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def _told(self, body: bytes) -> dict[str, Any]:
            parts = urlsplit(self.path)
            if parts.path == "/token":
                return {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}
            if not _known(self.headers.get("Authorization", "")):
                raise _Problem(401, "UNAUTHENTICATED", "no token, or one of somebody else")
            return simulator.answer(self.command, parts.path, parts.query, body)

        do_GET = do_POST = do_PUT = _answer  # noqa: N815 - names of http.server's

    return Handler
