"""A job's files: resumed, verified, whole or absent, and the key sent to the vendor alone."""

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

from cbi_assets.databento_api import job_files as fetching
from cbi_assets.databento_api.client import connect
from cbi_assets.databento_api.file_listing import JobFile, read_listing, takes_key
from cbi_assets.databento_api.job_files import Fetched, fetch_job
from cbi_assets.errors import CbiError, ServiceError
from cbi_assets_tests.databento_api.bars import Wanted
from cbi_assets_tests.databento_api.buying import Pauses, clients_of
from cbi_assets_tests.databento_api.vendor import KEY, Job, Vendor

DATA = "glbx-mdp3-20250127-20250131.ohlcv-1h.dbn.zst"


@dataclass
class Bar:
    """Counts what a progress bar would show."""

    shown: int = 0

    def advance(self, nbytes: int) -> None:
        self.shown += nbytes


@dataclass
class Download:
    """One job of the vendor's and where it goes."""

    vendor: Vendor
    job: Job
    folder: Path
    pauses: Pauses = field(default_factory=Pauses)
    bar: Bar = field(default_factory=Bar)
    told: list[str] = field(default_factory=list)

    @property
    def part(self) -> Path:
        return self.folder.with_name(f".{self.folder.name}.part")

    def run(self) -> Fetched:
        clients = clients_of(self.vendor, pauses=self.pauses)
        listed = read_listing(clients, self.job.id, clients.batch.list_files(self.job.id))
        return fetch_job(clients, listed, self.folder, self.told.append, self.bar)

    def held(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in self.folder.iterdir()}

    def data_ranges(self) -> list[str | None]:
        return [g.range for g in self.vendor.asked("file") if g.params["file"] == DATA]


@pytest.fixture
def download(vendor: Vendor, tmp_path: Path) -> Download:
    job = vendor.add_job(
        Wanted("GLBX.MDP3", "ohlcv-1h", ("ZL.v.0",), "continuous",
               dt.date(2025, 1, 27), dt.date(2025, 2, 4))
    )  # fmt: skip
    return Download(vendor, job, tmp_path / "drive" / "raw" / job.id)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT", (2.0, 0.3))


def test_all_files_come_as_they_are(download: Download) -> None:
    fetched = download.run()
    assert download.held() == download.job.files
    assert (fetched.files, fetched.bytes) == (6, sum(map(len, download.job.files.values())))
    assert download.bar.shown == fetched.bytes
    assert not download.part.exists()


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("kind", "value"), [("429", 9), ("500", None), ("503", 4), ("short", None), ("stall", 1),
                        ("dropped", None), ("garbled", None)]
)  # fmt: skip
def test_a_passing_fault_is_overcome(download: Download, kind: str, value: Any) -> None:
    download.vendor.fail("file", kind, value=value)
    download.run()
    assert download.held() == download.job.files
    assert download.bar.shown == sum(map(len, download.job.files.values()))
    if kind in ("429", "503"):
        assert download.pauses == [value]


def test_a_body_cut_short_is_resumed_where_it_broke_off(download: Download) -> None:
    half = len(download.job.files[DATA]) // 2
    download.vendor.fail("file", "short")
    download.run()
    assert download.data_ranges() == [None, f"bytes={half}-"]


def test_a_server_that_does_not_heed_range_sends_it_all_again(download: Download) -> None:
    download.vendor.fail("file", "short")
    download.vendor.fail("file", "whole")
    download.run()
    assert download.held() == download.job.files
    assert len(download.data_ranges()) == 2  # the second brought all of it
    assert download.told == []
    assert download.bar.shown == sum(map(len, download.job.files.values()))


def test_what_an_earlier_run_left_is_resumed(download: Download) -> None:
    whole = download.job.files[DATA]
    download.part.mkdir(parents=True)
    (download.part / DATA).write_bytes(whole[:100])
    (download.part / "metadata.json").write_bytes(download.job.files["metadata.json"])
    (download.part / "a stray file").write_text("of nobody's")
    download.run()
    assert download.held() == download.job.files
    assert download.data_ranges() == ["bytes=100-"]
    assert [g.params["file"] for g in download.vendor.asked("file")].count("metadata.json") == 0


@pytest.mark.parametrize("left", [b"\0" * 100, b"\0" * 1_000_000])
def test_what_an_earlier_run_left_wrong_is_fetched_anew(download: Download, left: bytes) -> None:
    download.part.mkdir(parents=True)
    (download.part / DATA).write_bytes(left)
    download.run()
    assert download.held() == download.job.files
    assert "fetching it again" in download.told[0]


@pytest.mark.parametrize("name", [DATA, "metadata.json"])
def test_a_wrong_sha256_is_fetched_twice_and_then_told(download: Download, name: str) -> None:
    download.vendor.wrong_hash = {name}
    with pytest.raises(ServiceError, match=r"has a wrong sha256 .* fetched twice") as raised:
        download.run()
    assert str(raised.value).startswith(f"{download.job.id}: {name}")
    assert not download.folder.exists()
    asked = [g for g in download.vendor.asked("file") if g.params["file"] == name]
    assert len(asked) == 2
    download.vendor.wrong_hash = set()
    download.run()
    assert download.held() == download.job.files


@pytest.mark.parametrize("lists_manifest", [True, False])
def test_a_manifest_that_tells_another_hash_is_refused(
    download: Download, lists_manifest: bool
) -> None:
    download.vendor.lists_manifest = lists_manifest
    manifest = json.loads(download.job.files["manifest.json"])
    manifest["files"][0]["hash"] = "sha256:" + "1" * 64
    download.job.files["manifest.json"] = json.dumps(manifest).encode()
    with pytest.raises(ServiceError, match="tell different sizes or hashes"):
        download.run()
    assert not download.folder.exists()


def test_a_manifest_that_is_not_there_is_told_and_not_made_up(download: Download) -> None:
    del download.job.files["manifest.json"]
    download.run()
    assert download.held() == download.job.files
    assert download.told == ["the vendor has no manifest.json for this job"]


def test_a_manifest_of_no_known_size_is_not_taken_for_whole(download: Download) -> None:
    host = download.vendor.url
    manifest = JobFile(
        "manifest.json", f"{host}/v0/batch/download/U/{download.job.id}/manifest.json", None, None
    )
    download.vendor.fail("file", "short")
    fetch_job(clients_of(download.vendor), [manifest], download.folder)
    assert download.held() == {"manifest.json": download.job.files["manifest.json"]}


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("503", "HTTP 503"),
        ("dropped", "after 6 tries"),
        ("stall", "timed out"),
        ("429", "HTTP 429"),
    ],
)
def test_a_lasting_fault_is_one_line_and_nothing_is_there(
    download: Download, kind: str, told: str
) -> None:
    download.vendor.fail("file", kind, times=6, value=1)
    with pytest.raises(ServiceError, match=told) as raised:
        download.run()
    assert "\n" not in str(raised.value)
    assert f"does not give {DATA} after 6 tries" in str(raised.value)
    assert raised.value.exit_code == 3
    assert not download.folder.exists()
    download.run()
    assert download.held() == download.job.files


def test_progress_in_small_bits_is_no_lasting_fault(download: Download) -> None:
    download.vendor.fail("file", "short", times=8)
    download.run()
    assert download.held() == download.job.files


def test_a_file_that_is_gone_is_told(download: Download) -> None:
    download.vendor.fail("file", "404")
    with pytest.raises(ServiceError, match=r"does not give .* \(HTTP 404\)"):
        download.run()
    assert not download.folder.exists()


def test_a_folder_that_is_there_is_verified_and_not_fetched(download: Download) -> None:
    download.run()
    before = len(download.vendor.asked("file"))
    assert download.run().files == 6
    assert len(download.vendor.asked("file")) == before
    (download.folder / DATA).write_bytes(b"another")
    with pytest.raises(CbiError, match="Move the folder away"):
        download.run()
    assert (download.folder / DATA).read_bytes() == b"another"


@pytest.fixture
def stranger() -> Iterator[tuple[str, list[Any]]]:
    """Another host than the vendor's, and the headers of what it was asked."""
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


def test_a_url_on_a_foreign_host_is_refused_unasked(
    download: Download, stranger: tuple[str, list[Any]]
) -> None:
    download.vendor.file_host, seen = stranger
    with pytest.raises(ServiceError, match=r"which is not Databento's .* not sent there"):
        download.run()
    assert seen == []
    assert not download.part.exists()


def test_a_redirect_to_a_foreign_host_is_followed_without_the_key(
    download: Download, stranger: tuple[str, list[Any]]
) -> None:
    host, seen = stranger
    download.vendor.fail("file", "moved", times=99, value=host)
    with pytest.raises(ServiceError):  # what it gives is not what the vendor listed
        download.run()
    assert seen
    assert all("Authorization" not in headers for headers in seen)
    assert not download.folder.exists()


VENDORS = "https://hist.databento.com"


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
def test_the_key_goes_to_the_vendors_hosts_by_https_only(url: str, taken: bool) -> None:
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
def test_for_a_test_server_it_goes_to_that_alone(url: str) -> None:
    clients = connect(SecretStr(KEY), "http://127.0.0.1:9999")
    assert takes_key(clients, "http://127.0.0.1:9999/f")
    assert not takes_key(clients, url)


GOOD: dict[str, Any] = {
    "filename": "a.dbn.zst",
    "size": 5,
    "hash": "sha256:" + "a" * 64,
    "urls": {"https": f"{VENDORS}/v0/batch/download/U/J/a.dbn.zst"},
}


@pytest.mark.parametrize(
    "change",
    [{"filename": "../a"}, {"filename": "a/b"}, {"filename": ".hidden"}, {"filename": ""},
     {"hash": "md5:aa"}, {"hash": "sha256:AA"}, {"size": -1}, {"size": None}, {"urls": {}},
     {"urls": None}, {"urls": {"https": "https://example.org/a.dbn.zst"}}],
)  # fmt: skip
def test_a_strange_listing_is_refused(change: dict[str, Any]) -> None:
    clients = connect(SecretStr(KEY))
    read_listing(clients, "J", [GOOD])
    with pytest.raises(ServiceError, match="job J"):
        read_listing(clients, "J", [GOOD | change])


def test_an_empty_or_doubled_listing_is_refused() -> None:
    for listing in ([], [GOOD, GOOD]):
        with pytest.raises(ServiceError, match="no file, or one twice"):
            read_listing(connect(SecretStr(KEY)), "J", listing)


def test_the_manifest_is_looked_for_beside_the_files() -> None:
    listed = read_listing(connect(SecretStr(KEY)), "J", [GOOD])
    assert listed[1] == JobFile("manifest.json", f"{VENDORS}/v0/batch/download/U/J/manifest.json",
                                None, None)  # fmt: skip


def test_a_full_drive_is_told_and_nothing_is_there(
    download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(fetching.os, "fsync", full)
        with pytest.raises(CbiError, match=r"the drive is full .* buys nothing again"):
            download.run()
    assert not download.folder.exists()
    download.run()
    assert download.held() == download.job.files


def test_clients_of_another_key_do_not_share(download: Download) -> None:
    clients = replace(clients_of(download.vendor), key=SecretStr("db-other"))
    listed = [JobFile(DATA, f"{download.vendor.url}/v0/batch/download/U/{download.job.id}/{DATA}",
                      1, "0" * 64)]  # fmt: skip
    with pytest.raises(ServiceError, match="HTTP 401") as raised:
        fetch_job(clients, listed, download.folder)
    assert "db-other" not in str(raised.value)
