"""The tests' vendor over HTTP, on loopback: `/v0/metadata.*`, `/v0/symbology.*`, `/v0/batch.*`,
and the files of `/v0/batch/download/`. Logs every request and fails on demand. As a separate
process: `python -m cbi_assets_tests.databento_api.server --port 8123`.
"""

from __future__ import annotations

import argparse
import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cbi_assets_tests.databento_api.vendor import KEY, Fault, Logged, Vendor

STALL_SECONDS = 20.0

Answer = tuple[int, Mapping[str, str], bytes]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    vendor: Vendor

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self._handle(parts.path, dict(parse_qsl(parts.query)))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._handle(urlsplit(self.path).path, dict(parse_qsl(body.decode())))

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the vendor has its own log."""

    def _handle(self, path: str, params: dict[str, str]) -> None:
        name = path.removeprefix("/v0/")
        is_file = name.startswith("batch/download/")
        route = "file" if is_file else name
        if is_file:
            params = {"file": name.rpartition("/")[2], "job_id": name.split("/")[-2]}
        fault = self.vendor.take_fault(route)
        kind = fault.kind if fault else ""
        if fault is not None and kind in ("stall", "dropped"):
            self._note(route, params, 0, 0)
            if kind == "stall":
                self.vendor.closing.wait(fault.value or STALL_SECONDS)
            self.close_connection = True
            return
        status, headers, body = self._answer(route, params, fault)
        if kind == "lost":
            self._note(route, params, 0, 0)
            self.close_connection = True
            return
        sent = body[: len(body) // 2] if kind == "short" else body
        self._note(route, params, status, len(sent))
        self.send_response(status)
        for header, value in headers.items():
            self.send_header(header, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(sent)
        if len(sent) < len(body):
            self.close_connection = True

    def _answer(self, route: str, params: dict[str, str], fault: Fault | None) -> Answer:
        kind = fault.kind if fault else ""
        if fault is not None and kind.isdigit():
            headers = {"Retry-After": str(fault.value)} if fault.value is not None else {}
            return _problem(int(kind), "a fault requested by a test", headers)
        if self._key() != self.vendor.key:
            return _problem(401, "Authentication failed.")
        if route == "file":
            return self._file(params, fault)
        try:
            document = self.vendor.answer(route, params)
        except (LookupError, AttributeError, ValueError) as error:
            return _problem(422, f"{route}: {error!r}")
        return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()

    def _file(self, params: Mapping[str, str], fault: Fault | None) -> Answer:
        kind = fault.kind if fault else ""
        if fault is not None and kind == "moved":
            return 302, {"Location": f"{fault.value}{self.path}"}, b""
        job = self.vendor.jobs.get(params["job_id"])
        if job is None or params["file"] not in job.files:
            return _problem(404, "no such file")
        data = job.files[params["file"]]
        headers = {"Content-Type": "application/octet-stream"}
        requested = self.headers.get("Range")
        status, body = 200, data
        if requested and kind != "whole":
            first = int(requested.removeprefix("bytes=").partition("-")[0])
            if first >= len(data):
                return _problem(416, "range", {"Content-Range": f"bytes */{len(data)}"})
            status, body = 206, data[first:]
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        if kind == "garbled":
            body = bytes([body[0] ^ 1]) + body[1:]
        return status, headers, body

    def _key(self) -> str | None:
        scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return None
        return base64.b64decode(encoded).decode().removesuffix(":")

    def _note(self, route: str, params: Mapping[str, str], status: int, sent: int) -> None:
        logged = Logged(route, params, self._key(), self.headers.get("Range"), status, sent)
        with self.vendor.lock:
            self.vendor.log.append(logged)


def _problem(status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    body = {"detail": {"case": "test_fault", "message": message, "docs": None}}
    return (
        status,
        {"Content-Type": "application/json"} | dict(headers or {}),
        json.dumps(body).encode(),
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnected, as killed ones do."""


@contextmanager
def run_vendor(vendor: Vendor | None = None, port: int = 0) -> Iterator[Vendor]:
    """Serve an account on 127.0.0.1 and set its `url`, until the block ends."""
    vendor = vendor or Vendor()
    handler = type("Handler", (_Handler,), {"vendor": vendor})
    with _Server(("127.0.0.1", port), handler) as server:
        vendor.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield vendor
        finally:
            vendor.closing.set()
            server.shutdown()
            thread.join()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--key", default=KEY)
    given = parser.parse_args()
    with run_vendor(Vendor(given.key), given.port) as vendor:
        print(f"CBI_DATABENTO_ENDPOINT={vendor.url} DATABENTO_API_KEY={vendor.key}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
