"""A reverse proxy in front of the emulator: it writes down every request, and does to chosen ones
what networks and services do: refuses them, cuts them off, loses the answer, never answers.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email import message_from_bytes, policy
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

STATUS = {
    "accessDenied": 403,
    "backendError": 503,
    "badGateway": 502,
    "internalError": 500,
    "invalid": 400,
    "invalidQuery": 400,
    "notFound": 404,
    "quotaExceeded": 403,
    "rateLimitExceeded": 429,
}
"""BigQuery's reasons, and the status each comes with."""

CONFLICT = (
    "Transaction is aborted due to concurrent update against table cbi-tests:ops.ledger_version. "
    "Transaction ID: 0123456789"
)
"""What BigQuery says of a transaction that it cancelled for another one."""

QUERY = r"/queries$"
RESULTS = r"/queries/[^/]+$"
JOB = r"/jobs/[^/]+$"
INSERT_JOB = r"^/bigquery/v2/projects/[^/]+/jobs$"
UPLOAD = r"^/upload/"
TABLES = r"/tables$"


@dataclass(frozen=True)
class Request:
    """A request; `body` is its JSON, or the JSON part of an upload, else None."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any = None

    @property
    def job_id(self) -> str:
        """The id of the job that it inserts or asks about; empty where it does neither."""
        if self.method == "POST" and isinstance(self.body, dict):
            return str(self.body.get("jobReference", {}).get("jobId", ""))
        found = re.search(r"/(?:jobs|queries)/([^/]+)$", self.path)
        return found[1] if found else ""

    @property
    def sql(self) -> str:
        """The text of a query, empty where it is none."""
        if not isinstance(self.body, dict):
            return ""
        inserted = self.body.get("configuration", {}).get("query", {})
        return str(inserted.get("query") or self.body.get("query") or "")

    def config(self, kind: str) -> dict[str, Any]:
        """The configuration of the job that it inserts, `query` or `load`."""
        found: dict[str, Any] = self.body["configuration"][kind]
        return found


@dataclass(frozen=True)
class Answer:
    """What is answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, body: Any, status: int = 200) -> Answer:
        """A JSON answer."""
        return cls(status, {"Content-Type": "application/json"}, json.dumps(body).encode())


@dataclass(frozen=True)
class Exchange:
    """One request and what may be done with it."""

    request: Request
    forward: Callable[[], Answer]
    answer: Callable[[Answer], None]
    reset: Callable[[], None]
    over: threading.Event


Action = Callable[[Exchange], None]


def refuse(reason: str, message: str = "no luck") -> Action:
    """Answer with an error as BigQuery writes one."""
    answer = Answer.of(error_body(reason, message), STATUS[reason])
    return lambda exchange: exchange.answer(answer)


def cut_off(exchange: Exchange) -> None:
    """Reset the connection; the request never arrives."""
    exchange.reset()


def lose_answer(exchange: Exchange) -> None:
    """Do as asked, and reset the connection before the answer: the client cannot know."""
    exchange.forward()
    exchange.reset()


def hang(exchange: Exchange) -> None:
    """Take the request and say nothing until the proxy closes, or for a minute and a half."""
    exchange.over.wait(90)
    exchange.reset()


def rewrite(change: Callable[[Any], None]) -> Action:
    """Change the JSON of the answer on its way back."""

    def act(exchange: Exchange) -> None:
        answer = exchange.forward()
        body = json.loads(answer.body)
        change(body)
        exchange.answer(replace(answer, body=json.dumps(body).encode()))

    return act


@dataclass
class Rule:
    """Does `action` to the requests that match, from the `nth` on, `times` times (None: always).

    `bytes_read` cuts the connection off after so much of the request's body, whatever the action.
    """

    method: str
    path: str
    action: Action = cut_off
    when: Callable[[Request], bool] = lambda request: True
    nth: int = 1
    times: int | None = 1
    bytes_read: int | None = None
    seen: int = field(default=0, init=False)

    @property
    def fired(self) -> int:
        """How often it was applied."""
        fired = max(0, self.seen - self.nth + 1)
        return fired if self.times is None else min(fired, self.times)

    def matches(self, request: Request) -> bool:
        """Whether it applies to this request. Counts the ones it could apply to."""
        if not re.fullmatch(self.method, request.method) or not re.search(self.path, request.path):
            return False
        if not self.when(request):
            return False
        self.seen += 1
        last = None if self.times is None else self.nth + self.times - 1
        return self.seen >= self.nth and (last is None or self.seen <= last)


class Proxy:
    """A running proxy: `url` is where it listens, `requests` what came, in order."""

    def __init__(self, upstream: str) -> None:
        self.requests: list[Request] = []
        self._upstream = upstream.rstrip("/")
        self._rules: list[Rule] = []
        self._failed: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The same settings, by way of the proxy."""
        return {**settings, "cbi_bq_endpoint": self.url}

    def add(self, rule: Rule) -> Rule:
        """Apply a rule from now on. Of several that match, the first added counts."""
        self._rules.append(rule)
        return rule

    def fail_jobs(self, job_id: str, reason: str, message: str, times: int | None = 1) -> Rule:
        """Let jobs whose id matches the pattern be accepted and fail, `times` of them.

        They do nothing, as a transaction that was cancelled is rolled back.
        """

        def act(exchange: Exchange) -> None:
            body = exchange.request.body
            error = {"reason": reason, "message": message}
            job = {
                **body,
                "kind": "bigquery#job",
                "id": f"{body['jobReference']['projectId']}:US.{exchange.request.job_id}",
                "status": {"state": "DONE", "errorResult": error, "errors": [error]},
                "statistics": {"creationTime": "1", "startTime": "1", "endTime": "1"},
            }
            with self._lock:
                self._failed[exchange.request.job_id] = job
            exchange.answer(Answer.of(job))

        return self.add(
            Rule("POST", r"/jobs$", act, lambda r: bool(re.search(job_id, r.job_id)), times=times)
        )

    def sent(self, method: str, path: str) -> list[Request]:
        """The requests so far of this method, whose path matches the pattern."""
        with self._lock:
            known = list(self.requests)
        return [r for r in known if r.method == method and re.search(path, r.path)]

    def serve(self) -> None:
        """Serve until closed."""
        self._server.serve_forever(poll_interval=0.02)

    def close(self) -> None:
        """Let go of what hangs, and stop."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """Deal with one request."""
        url = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        request = Request(handler.command, url.path, query)
        length = int(handler.headers.get("Content-Length") or 0)
        with self._lock:
            hasty = [rule for rule in self._rules if rule.bytes_read is not None]
            cut = next((rule for rule in hasty if rule.matches(request)), None)
        if cut is not None:
            handler.rfile.read(min(length, cut.bytes_read or 0))
            self._record(request)
            _reset(handler)
            return
        raw = handler.rfile.read(length)
        request = replace(request, body=_json_of(handler.headers.get("Content-Type", ""), raw))
        self._record(request)
        exchange = Exchange(
            request,
            lambda: self._forward(handler, raw),
            lambda answer: _answer(handler, answer),
            lambda: _reset(handler),
            self._over,
        )
        with self._lock:
            others = [rule for rule in self._rules if rule.bytes_read is None]
            rule = next((rule for rule in others if rule.matches(request)), None)
            job = self._failed.get(request.job_id) if request.method == "GET" else None
        if rule is not None:
            rule.action(exchange)
        elif job is not None and "/queries/" in request.path:
            error = job["status"]["errorResult"]
            refuse(error["reason"], error["message"])(exchange)
        elif job is not None:
            exchange.answer(Answer.of(job))
        else:
            exchange.answer(exchange.forward())

    def _record(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def _forward(self, handler: BaseHTTPRequestHandler, raw: bytes) -> Answer:
        host = urlsplit(self._upstream).netloc
        connection = HTTPConnection(host, timeout=120)
        try:
            headers = {
                name: value
                for name, value in handler.headers.items()
                if name.lower() not in ("host", "connection", "accept-encoding")
            }
            connection.request(handler.command, handler.path, raw, headers)
            response = connection.getresponse()
            kept = {
                name: value.replace(self._upstream, self.url)
                for name, value in response.getheaders()
                if name.lower() not in ("connection", "transfer-encoding", "content-length")
            }
            return Answer(response.status, kept, response.read())
        finally:
            connection.close()


def error_body(reason: str, message: str) -> dict[str, Any]:
    """An error as BigQuery writes one."""
    detail = {"reason": reason, "message": message, "domain": "global"}
    return {"error": {"code": STATUS[reason], "message": message, "errors": [detail]}}


@contextmanager
def run_proxy(upstream: str) -> Iterator[Proxy]:
    """Start a proxy, and stop it at the end."""
    proxy = Proxy(upstream)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone away is what some tests are about."""


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            proxy.handle(self)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler


def _answer(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    handler.send_response(answer.status)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    if answer.status != 204:
        handler.send_header("Content-Length", str(len(answer.body)))
    handler.end_headers()
    handler.wfile.write(answer.body)


def _reset(handler: BaseHTTPRequestHandler) -> None:
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.close_connection = True
    # the socket closes when the last of these does, and then with a reset
    for stream in (handler.rfile, handler.wfile, handler.connection):
        stream.close()


def _json_of(content_type: str, raw: bytes) -> Any:
    if content_type.startswith("multipart/"):
        message = message_from_bytes(
            b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + raw, policy=policy.HTTP
        )
        part = next(iter(message.iter_parts()))
        return json.loads(part.get_payload(decode=True))
    if content_type.startswith("application/json") and raw:
        return json.loads(raw)
    return None
