"""`cbi config --check` on read sessions and on the bucket."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import grpc
import pytest

from cbi_assets_tests.bigquery.asking import PROJECT, answer, check, deny, missing
from cbi_assets_tests.bigquery.proxy import Proxy, run_proxy

pytestmark = pytest.mark.bigquery


@contextmanager
def refusing_storage(message: str) -> Iterator[str]:
    """Run a Storage Read API that denies every session."""

    def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, message)
        raise AssertionError("unreachable")

    handlers = grpc.method_handlers_generic_handler(
        "google.cloud.bigquery.storage.v1.BigQueryRead",
        {"CreateReadSession": grpc.unary_unary_rpc_method_handler(refuse)},
    )
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.mark.parametrize(
    ("message", "name", "expected"),
    [
        ("request failed: the user does not have 'bigquery.readsessions.create' permission for "
         f"'projects/{PROJECT}'", "bigquery.readSessionUser", "roles/bigquery.readSessionUser"),
        (f"BigQuery Storage API has not been used in project {PROJECT} before or it is disabled: "
         "the project has not enabled it", "API",
         "gcloud services enable bigquerystorage.googleapis.com"),
    ],
    ids=["role", "API"],
)  # fmt: skip
def test_check_reports_a_denied_read_session(
    settings: dict[str, Any], message: str, name: str, expected: str
) -> None:
    with refusing_storage(message) as address:
        found = missing(check(settings | {"cbi_bq_storage_endpoint": address}))
    assert found.keys() == {name}
    assert expected in found[name]


def test_check_notes_an_emulator_without_storage_api(settings: dict[str, Any]) -> None:
    found = check(settings | {"cbi_bq_storage_endpoint": None})
    assert missing(found) == {}
    assert ("bigquery.readSessionUser", "note") in [(f.name, f.verdict) for f in found]


BUCKET = "^/upload/storage"
BLOB = "^/storage"
WRITTEN = {"name": "check", "bucket": "bars", "size": "0", "generation": "1"}


@pytest.mark.parametrize(
    ("method", "path", "status", "reason", "expected"),
    [
        ("POST", BUCKET, 404, "notFound", "gcloud storage buckets create gs://bars"),
        ("POST", BUCKET, 403, "forbidden", "--role=roles/storage.objectUser"),
        ("DELETE", BLOB, 403, "forbidden", "--role=roles/storage.objectUser"),
    ],
    ids=["absent", "not writable", "not deletable"],
)
def test_check_reports_an_unusable_bucket(
    settings: dict[str, Any], method: str, path: str, status: int, reason: str, expected: str
) -> None:
    with bucket_api() as bucket:
        deny(bucket, path, status, reason, "no", method)
        serve_blobs(bucket)
        found = check(settings | {"cbi_bq_bucket": "bars", "cbi_bq_bucket_endpoint": bucket.url})
    assert missing(found).keys() == {"bucket bars"}
    assert expected in found[-1].text


def test_check_writes_to_the_bucket_and_leaves_it_empty(settings: dict[str, Any]) -> None:
    with bucket_api() as bucket:
        serve_blobs(bucket)
        found = check(settings | {"cbi_bq_bucket": "bars", "cbi_bq_bucket_endpoint": bucket.url})
    assert missing(found) == {}
    assert found[-1].name == "bucket bars"
    # the client also reads the bucket's metadata
    asked = [request.method for request in bucket.requests if request.method != "GET"]
    assert asked == ["POST", "DELETE"]


def bucket_api() -> AbstractContextManager[Proxy]:
    """Run a proxy without a server behind it."""
    return run_proxy("http://127.0.0.1:9")


def serve_blobs(bucket: Proxy) -> None:
    """Accept every file and its deletion."""
    answer(bucket, "POST", BUCKET, 200, WRITTEN)
    answer(bucket, "DELETE", BLOB, 200, {})
