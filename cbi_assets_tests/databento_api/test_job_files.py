"""A job's files: resumed, verified, complete or absent, and the key sent only to Databento."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from cbi_assets.databento_api import job_files
from cbi_assets.databento_api.client import connect
from cbi_assets.databento_api.file_listing import JobFile, parse_listing, takes_key
from cbi_assets.databento_api.job_files import FetchedJob, fetch_job
from cbi_assets.errors import CbiError, ServiceError
from cbi_assets_tests.databento_api.bars import Wanted
from cbi_assets_tests.databento_api.buying import Pauses, clients_of
from cbi_assets_tests.databento_api.vendor import KEY, Job, Vendor

DATA = "glbx-mdp3-20250127-20250131.ohlcv-1h.dbn.zst"


@dataclass
class Bar:
    """Counts the bytes that a progress bar would show."""

    shown: int = 0

    def advance(self, nbytes: int) -> None:
        self.shown += nbytes


@dataclass
class Download:
    """One job of the vendor and its target folder."""

    vendor: Vendor
    job: Job
    folder: Path
    pauses: Pauses = field(default_factory=Pauses)
    bar: Bar = field(default_factory=Bar)

    @property
    def part(self) -> Path:
        return self.folder.with_name(f".{self.folder.name}.part")

    def run(self) -> FetchedJob:
        clients = clients_of(self.vendor, pauses=self.pauses)
        listed = parse_listing(clients, self.job.id, clients.batch.list_files(self.job.id))
        return fetch_job(clients, listed, self.folder, self.bar)

    def contents(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in self.folder.iterdir()}

    def data_ranges(self) -> list[str | None]:
        return [g.range for g in self.vendor.requests_to("file") if g.params["file"] == DATA]


@pytest.fixture
def download(vendor: Vendor, tmp_path: Path) -> Download:
    job = vendor.add_job(
        Wanted("GLBX.MDP3", "ohlcv-1h", ("ZL.v.0",), "continuous",
               dt.date(2025, 1, 27), dt.date(2025, 2, 4))
    )  # fmt: skip
    return Download(vendor, job, tmp_path / "drive" / "raw" / job.id)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_files, "TIMEOUT", (2.0, 0.3))


def test_fetch_job_writes_all_files_unchanged(download: Download) -> None:
    fetched = download.run()
    assert download.contents() == download.job.files
    assert (fetched.files, fetched.bytes) == (6, sum(map(len, download.job.files.values())))
    assert download.bar.shown == fetched.bytes
    assert not download.part.exists()


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("kind", "value"), [("429", 9), ("500", None), ("503", 4), ("short", None), ("stall", 1),
                        ("dropped", None), ("garbled", None)]
)  # fmt: skip
def test_fetch_job_survives_a_transient_fault(download: Download, kind: str, value: Any) -> None:
    download.vendor.fail("file", kind, value=value)
    download.run()
    assert download.contents() == download.job.files
    assert download.bar.shown == sum(map(len, download.job.files.values()))
    if kind in ("429", "503"):
        assert download.pauses == [value]


def test_fetch_job_resumes_a_truncated_response(download: Download) -> None:
    half = len(download.job.files[DATA]) // 2
    download.vendor.fail("file", "short")
    download.run()
    assert download.data_ranges() == [None, f"bytes={half}-"]


def test_fetch_job_restarts_if_the_server_ignores_range(
    download: Download, caplog: pytest.LogCaptureFixture
) -> None:
    download.vendor.fail("file", "short")
    download.vendor.fail("file", "whole")
    download.run()
    assert download.contents() == download.job.files
    assert len(download.data_ranges()) == 2  # the second returned the complete file
    assert caplog.messages == []
    assert download.bar.shown == sum(map(len, download.job.files.values()))


def test_fetch_job_resumes_an_earlier_run(download: Download) -> None:
    data = download.job.files[DATA]
    download.part.mkdir(parents=True)
    (download.part / DATA).write_bytes(data[:100])
    (download.part / "metadata.json").write_bytes(download.job.files["metadata.json"])
    (download.part / "a stray file").write_text("of no job")
    download.run()
    assert download.contents() == download.job.files
    assert download.data_ranges() == ["bytes=100-"]
    assert [g.params["file"] for g in download.vendor.requests_to("file")].count(
        "metadata.json"
    ) == 0


@pytest.mark.parametrize("left", [b"\0" * 100, b"\0" * 1_000_000])
def test_fetch_job_replaces_a_wrong_partial_file(
    download: Download, left: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    download.part.mkdir(parents=True)
    (download.part / DATA).write_bytes(left)
    download.run()
    assert download.contents() == download.job.files
    assert "downloading it again" in caplog.messages[0]


@pytest.mark.parametrize("name", [DATA, "metadata.json"])
def test_fetch_job_raises_after_two_wrong_hashes(download: Download, name: str) -> None:
    download.vendor.wrong_hash = {name}
    with pytest.raises(ServiceError, match=r"has a wrong sha256 .* downloaded twice") as raised:
        download.run()
    assert str(raised.value).startswith(f"{download.job.id}: {name}")
    assert not download.folder.exists()
    requested = [g for g in download.vendor.requests_to("file") if g.params["file"] == name]
    assert len(requested) == 2
    download.vendor.wrong_hash = set()
    download.run()
    assert download.contents() == download.job.files


@pytest.mark.parametrize("lists_manifest", [True, False])
def test_fetch_job_raises_if_the_manifest_states_another_hash(
    download: Download, lists_manifest: bool
) -> None:
    download.vendor.lists_manifest = lists_manifest
    manifest = json.loads(download.job.files["manifest.json"])
    manifest["files"][0]["hash"] = "sha256:" + "1" * 64
    download.job.files["manifest.json"] = json.dumps(manifest).encode()
    with pytest.raises(ServiceError, match="disagree on the size or hash"):
        download.run()
    assert not download.folder.exists()


def test_fetch_job_logs_a_missing_manifest(
    download: Download, caplog: pytest.LogCaptureFixture
) -> None:
    del download.job.files["manifest.json"]
    download.run()
    assert download.contents() == download.job.files
    assert caplog.messages == [f"job {download.job.id} has no manifest.json"]


def test_fetch_job_retries_a_truncated_file_of_unknown_size(download: Download) -> None:
    host = download.vendor.url
    manifest = JobFile(
        "manifest.json", f"{host}/v0/batch/download/U/{download.job.id}/manifest.json", None, None
    )
    download.vendor.fail("file", "short")
    fetch_job(clients_of(download.vendor), [manifest], download.folder)
    assert download.contents() == {"manifest.json": download.job.files["manifest.json"]}


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("503", "HTTP 503"),
        ("dropped", "after 6 attempts"),
        ("stall", "timed out"),
        ("429", "HTTP 429"),
    ],
)
def test_fetch_job_raises_one_line_for_a_persistent_fault(
    download: Download, kind: str, reason: str
) -> None:
    download.vendor.fail("file", kind, times=6, value=1)
    with pytest.raises(ServiceError, match=reason) as raised:
        download.run()
    assert "\n" not in str(raised.value)
    assert f"could not download {DATA} after 6 attempts" in str(raised.value)
    assert raised.value.exit_code == 3
    assert not download.folder.exists()
    download.run()
    assert download.contents() == download.job.files


def test_fetch_job_continues_as_long_as_bytes_arrive(download: Download) -> None:
    download.vendor.fail("file", "short", times=8)
    download.run()
    assert download.contents() == download.job.files


def test_fetch_job_raises_for_a_missing_file(download: Download) -> None:
    download.vendor.fail("file", "404")
    with pytest.raises(ServiceError, match=r"could not download .* \(HTTP 404\)"):
        download.run()
    assert not download.folder.exists()


def test_fetch_job_verifies_an_existing_folder(download: Download) -> None:
    download.run()
    before = len(download.vendor.requests_to("file"))
    assert download.run().files == 6
    assert len(download.vendor.requests_to("file")) == before
    (download.folder / DATA).write_bytes(b"another")
    with pytest.raises(CbiError, match="Move the folder away"):
        download.run()
    assert (download.folder / DATA).read_bytes() == b"another"


@pytest.fixture
def stranger() -> Iterator[tuple[str, list[Any]]]:
    """Another host than the vendor's, and the headers of the requests it received."""
    seen: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(dict(self.headers))
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"bytes")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def test_a_url_on_another_host_is_not_requested(
    download: Download, stranger: tuple[str, list[Any]]
) -> None:
    download.vendor.file_host, seen = stranger
    with pytest.raises(ServiceError, match=r"which is not Databento's .* not sent there"):
        download.run()
    assert seen == []
    assert not download.part.exists()


def test_a_redirect_to_another_host_is_followed_without_the_key_or_the_netrcs(
    download: Download,
    stranger: tuple[str, list[Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host, seen = stranger
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ada password lovelace\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    download.vendor.fail("file", "moved", times=99, value=host)
    with pytest.raises(ServiceError):  # the bytes are not what the vendor listed
        download.run()
    assert seen
    assert all("Authorization" not in headers for headers in seen)
    assert not download.folder.exists()


DATABENTO = "https://hist.databento.com"


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://hist.databento.com/v0/batch/download/f", True),
        ("https://api.databento.com/v0/batch/download/f", True),
        ("https://api.databento.com:443/f", True),
        ("http://api.databento.com/f", False),
        ("https://api.databento.com:8443/f", False),
        ("https://databento.com.example.org/f", False),
        ("https://evildatabento.com/f", False),
        ("https://api.databento.com@example.org/f", False),
        ("https://user:pass@api.databento.com/f", False),
        ("https://example.org/api.databento.com", False),
        ("ftp://ftp.databento.com/f", False),
        ("//api.databento.com/f", False),
        ("https://api.databento.com:x/f", False),
        ("", False),
    ],
)
def test_takes_key_only_for_databentos_hosts_by_https(url: str, taken: bool) -> None:
    assert takes_key(connect(SecretStr(KEY)), url) is taken


@pytest.mark.parametrize(
    "url",
    [
        "https://api.databento.com/f",
        "http://127.0.0.1:1/f",
        "http://localhost:9999/f",
        "https://127.0.0.1:9999/f",
    ],
)
def test_takes_key_only_for_the_test_server_if_there_is_one(url: str) -> None:
    clients = connect(SecretStr(KEY), "http://127.0.0.1:9999")
    assert takes_key(clients, "http://127.0.0.1:9999/f")
    assert not takes_key(clients, url)


GOOD: dict[str, Any] = {
    "filename": "a.dbn.zst",
    "size": 5,
    "hash": "sha256:" + "a" * 64,
    "urls": {"https": f"{DATABENTO}/v0/batch/download/U/J/a.dbn.zst"},
}


@pytest.mark.parametrize(
    "change",
    [{"filename": "../a"}, {"filename": "a/b"}, {"filename": ".hidden"}, {"filename": ""},
     {"hash": "md5:aa"}, {"hash": "sha256:AA"}, {"size": -1}, {"size": None}, {"urls": {}},
     {"urls": None}, {"urls": {"https": "https://example.org/a.dbn.zst"}}],
)  # fmt: skip
def test_parse_listing_raises_for_a_malformed_entry(change: dict[str, Any]) -> None:
    clients = connect(SecretStr(KEY))
    parse_listing(clients, "J", [GOOD])
    with pytest.raises(ServiceError, match="job J"):
        parse_listing(clients, "J", [GOOD | change])


def test_parse_listing_raises_for_no_file_or_a_repeated_one() -> None:
    for listing in ([], [GOOD, GOOD]):
        with pytest.raises(ServiceError, match="no file, or one twice"):
            parse_listing(connect(SecretStr(KEY)), "J", listing)


def test_parse_listing_adds_an_unlisted_manifest() -> None:
    listed = parse_listing(connect(SecretStr(KEY)), "J", [GOOD])
    assert listed[1] == JobFile("manifest.json", f"{DATABENTO}/v0/batch/download/U/J/manifest.json",
                                None, None)  # fmt: skip


def test_fetch_job_raises_if_the_drive_is_full(
    download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(job_files.os, "fsync", full)
        with pytest.raises(CbiError, match=r"the drive is full .* buys nothing again"):
            download.run()
    assert not download.folder.exists()
    download.run()
    assert download.contents() == download.job.files


def test_fetch_job_raises_for_a_rejected_key(download: Download) -> None:
    clients = replace(clients_of(download.vendor), key=SecretStr("db-other"))
    listed = [JobFile(DATA, f"{download.vendor.url}/v0/batch/download/U/{download.job.id}/{DATA}",
                      1, "0" * 64)]  # fmt: skip
    with pytest.raises(ServiceError, match="HTTP 401") as raised:
        fetch_job(clients, listed, download.folder)
    assert "db-other" not in str(raised.value)
