"""Large files are uploaded through the bucket if one is set, else in chunks, by the same job."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import polars as pl
import pytest

from cbi_assets.tables import RAW
from cbi_assets.warehouse.bigquery import query_jobs as jobs
from cbi_assets_tests.bigquery.conftest import OpenRemote, for_upload
from cbi_assets_tests.bigquery.emulator import Emulator
from cbi_assets_tests.bigquery.proxy import (
    INSERT_JOB,
    UPLOAD,
    Proxy,
    Rule,
    lose_answer,
)

pytestmark = pytest.mark.bigquery

LIMIT = 123_456_789
HOUR_BARS = RAW["1h"].id
FRAME = for_upload(pl.DataFrame({"name": ["a", "b"], "count": [1, 2]}))


class Bucket:
    """Serve a bucket's objects over the JSON API, stored where the emulator reads `gs://`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log: list[tuple[str, str]] = []

    def put(self, name: str, data: bytes) -> dict[str, Any]:
        self.log.append(("put", name))
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return {"kind": "storage#object", "bucket": self.folder.name, "name": name,
                "size": str(len(data))}  # fmt: skip

    def delete(self, name: str) -> bool:
        self.log.append(("delete", name))
        path = self.folder / name
        there = path.exists()
        path.unlink(missing_ok=True)
        return there


@pytest.fixture
def bucket(emulator: Emulator) -> Iterator[tuple[Bucket, str]]:
    """Yield a bucket and its endpoint."""
    kept = Bucket(emulator.bucket / "cbi-bucket")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            head = b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n"
            message = message_from_bytes(head + raw, policy=policy.HTTP)
            about, data = (part.get_payload(decode=True) for part in message.iter_parts())
            assert parse_qs(urlsplit(self.path).query)["uploadType"] == ["multipart"]
            self.answer(200, kept.put(json.loads(about)["name"], data))

        def do_DELETE(self) -> None:
            name = unquote(urlsplit(self.path).path.partition("/o/")[2])
            if kept.delete(name):
                self.answer(204)
            else:
                self.answer(404, {"error": {"code": 404, "message": "No such object"}})

        def answer(self, status: int, body: Any = None) -> None:
            data = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield kept, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("lost", [False, True], ids=["", "and the answer is lost"])
def test_large_file_goes_through_the_bucket_and_is_deleted_there(
    proxy: Proxy,
    open_remote: OpenRemote,
    bucket: tuple[Bucket, str],
    monkeypatch: pytest.MonkeyPatch,
    lost: bool,
) -> None:
    kept, endpoint = bucket
    monkeypatch.setattr(jobs, "BUCKET_BYTES", 10)
    if lost:
        proxy.add(Rule("POST", INSERT_JOB, lose_answer, lambda request: not request.sql))
    with open_remote(cbi_bq_bucket="cbi-bucket", cbi_bq_bucket_endpoint=endpoint) as warehouse:
        staged = warehouse.stage_frame("spots", FRAME)
        assert warehouse.query(f"SELECT * FROM `{staged}`").height == FRAME.height
    assert proxy.sent("POST", UPLOAD) == []
    loads = proxy.sent("POST", INSERT_JOB)
    assert len({r.job_id for r in loads}) == 1
    name = f"cbi_assets/{loads[0].job_id}.parquet"
    assert loads[0].config("load")["sourceUris"] == [f"gs://cbi-bucket/{name}"]
    assert loads[0].config("load")["parquetOptions"]["enableListInference"] is True
    assert loads[0].config("load")["createDisposition"] == "CREATE_NEVER"
    assert kept.log == [("put", name), ("delete", name)]
    assert not [path for path in kept.folder.rglob("*") if path.is_file()]


def test_several_files_are_one_job_through_the_bucket(
    proxy: Proxy, open_remote: OpenRemote, bucket: tuple[Bucket, str], tmp_path: Path
) -> None:
    kept, endpoint = bucket
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path in paths:
        FRAME.write_parquet(path)
    with open_remote(cbi_bq_bucket="cbi-bucket", cbi_bq_bucket_endpoint=endpoint) as warehouse:
        staged = warehouse.stage_parquet("spots", paths)
        assert warehouse.query(f"SELECT * FROM `{staged}`").height == 2 * FRAME.height
    (load,) = proxy.sent("POST", INSERT_JOB)
    names = [f"cbi_assets/{load.job_id}{suffix}.parquet" for suffix in ("", "-1")]
    assert load.config("load")["sourceUris"] == [f"gs://cbi-bucket/{name}" for name in names]
    assert kept.log == [(what, name) for what in ("put", "delete") for name in names]


def test_small_file_does_not_use_the_bucket(
    proxy: Proxy, open_remote: OpenRemote, bucket: tuple[Bucket, str]
) -> None:
    kept, endpoint = bucket
    with open_remote(cbi_bq_bucket="cbi-bucket", cbi_bq_bucket_endpoint=endpoint) as warehouse:
        warehouse.stage_frame("spots", FRAME)
    assert len(proxy.sent("POST", UPLOAD)) == 1
    assert kept.log == []


def test_large_file_without_bucket_is_uploaded_in_chunks(
    proxy: Proxy, open_remote: OpenRemote
) -> None:
    # from 5 MiB on, the client uploads chunks to an address from the server
    numbers = np.random.default_rng(0).integers(2**62, size=800_000)
    with open_remote() as warehouse:
        staged = warehouse.stage_frame("large", pl.DataFrame({"n": numbers}))
        arrived = warehouse.query(f"SELECT COUNT(*) AS n FROM `{staged}`")["n"].item()
        assert arrived == len(numbers)
    (started,) = proxy.sent("POST", UPLOAD)
    assert started.query["uploadType"] == "resumable"
    assert started.config("load")["createDisposition"] == "CREATE_NEVER"
    assert len(proxy.sent("PUT", UPLOAD)) == 1
