"""Download a job's files: resumable, verified, and complete or absent.

Files are written to a hidden folder next to the job's own, which is renamed once every file has
the size and sha256 that Databento lists. The key is sent only to Databento's hosts.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urljoin

import requests
import urllib3
from requests.auth import HTTPBasicAuth

from cbi_assets.databento_api.client import MAX_ATTEMPTS, TRANSIENT_STATUSES, Clients, retry_after
from cbi_assets.databento_api.file_listing import MANIFEST, JobFile, takes_key
from cbi_assets.errors import CbiError, ServiceError
from cbi_assets.formatting import size

TIMEOUT: Final = (20.0, 60.0)
"""Seconds to connect, and to wait for the next bytes."""

_CHUNK: Final = 1 << 20
_MAX_REDIRECTS: Final = 3
_RESUMES: Final = "Retry: it resumes where it stopped, and buys nothing again."

logger = logging.getLogger(__name__)


class Progress(Protocol):
    """Where a download reports its bytes."""

    def advance(self, nbytes: int) -> None:
        """Count bytes written; negative for bytes discarded."""


class NullProgress:
    """Reports nowhere."""

    def advance(self, nbytes: int) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class FetchedJob:
    """A job's complete folder on the drive: how many files, and their size in bytes."""

    folder: Path
    files: int
    bytes: int


def fetch_job(
    clients: Clients,
    files: Sequence[JobFile],
    folder: Path,
    progress: Progress | None = None,
) -> FetchedJob:
    """Download a job's files to `folder`, resuming an earlier attempt.

    An existing folder is verified and left unchanged.

    Raises
    ------
    ServiceError
        If Databento does not serve the files as listed. `folder` does not exist then.
    CbiError
        If the files cannot be written, or an existing folder has other files.
    """
    if folder.exists():
        for file in files:
            if (mismatch := _mismatch(folder / file.name, file)) is not None:
                raise CbiError(
                    f"{file.name} {mismatch}, so this is not the job that Databento lists",
                    subject=str(folder),
                    remedy="Move the folder away, then retry.",
                )
        return _summarize(folder)
    part = _part_of(folder)
    try:
        part.mkdir(parents=True, exist_ok=True)
        names = {file.name for file in files}
        for stray in part.iterdir():
            if stray.name not in names:
                stray.unlink()
        for file in files:
            _FileDownload(clients, folder.name, file, part / file.name, progress).run()
        _verify_manifest(part, folder.name, files)
        _sync(part)
        part.rename(folder)
        _sync(folder.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = size(shutil.disk_usage(folder.parent).free)
            problem, remedy = f"the drive is full ({free} free)", "Free space on it."
        else:
            problem, remedy = f"cannot write ({error.strerror})", "Check the drive."
        raise CbiError(problem, subject=str(folder), remedy=f"{remedy} {_RESUMES}") from None
    return _summarize(folder)


def discard_part(folder: Path) -> None:
    """Delete what was downloaded of an incomplete job."""
    part = _part_of(folder)
    if part.exists():
        shutil.rmtree(part)


def _part_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.part")


class _FileDownload:
    """One file, downloaded from where it stopped until its size and sha256 match."""

    def __init__(
        self,
        clients: Clients,
        job_id: str,
        file: JobFile,
        path: Path,
        progress: Progress | None,
    ) -> None:
        self._clients = clients
        self._job_id = job_id
        self._file = file
        self._path = path
        self._progress = progress or NullProgress()

    def run(self) -> None:
        mismatches = attempts = 0
        if self._file.size is None:
            self._path.unlink(missing_ok=True)  # without a size, it is unknown where to resume
        else:
            self._progress.advance(min(self._written, self._file.size))
        while True:
            if self._file.size is not None and self._written >= self._file.size:
                mismatch = _mismatch(self._path, self._file)
                if mismatch is None:
                    return
                self._progress.advance(-min(self._written, self._file.size))
                self._path.unlink()
                mismatches += 1
                if mismatches > 1:
                    raise self._error(
                        f"{self._file.name} {mismatch}, downloaded twice",
                        "Nothing of the job was kept. Retry, or ask Databento.",
                    )
                logger.warning("%s %s; downloading it again", self._file.name, mismatch)
            before = self._written
            try:
                if self._request_rest():
                    return
                reason, pause = "the connection broke", None
            except _TransientError as error:
                reason, pause = str(error), error.pause
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                reason, pause = self._clients.mask(str(error)), None
            attempts = 0 if self._written > before else attempts + 1
            if attempts >= MAX_ATTEMPTS:
                raise self._error(
                    f"could not download {self._file.name} after {attempts} attempts: {reason}",
                    _RESUMES,
                )
            if self._file.size is None or self._written < self._file.size:
                self._clients.pause(min(60.0, 2.0**attempts) if pause is None else pause)

    @property
    def _written(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def _error(self, problem: str, remedy: str) -> ServiceError:
        return ServiceError(problem, subject=self._job_id, remedy=remedy)

    def _request_rest(self) -> bool:
        """Request the missing bytes and write them; return whether a file without size is complete.

        Raises requests' errors if the connection breaks, and _TransientError for a status that may
        change.
        """
        written = self._written
        headers = {"Range": f"bytes={written}-"} if written else {}
        with self._get(headers) as response:
            status = response.status_code
            if status == 404 and self._file.size is None:
                logger.warning("job %s has no %s", self._job_id, self._file.name)
                return True
            if status == 416:
                self._progress.advance(-written)
                self._path.unlink()
                return False
            if status in TRANSIENT_STATUSES:
                raise _TransientError(response)
            if status not in (200, 206):
                raise self._error(
                    f"could not download {self._file.name} (HTTP {status})",
                    "Retry, or ask Databento.",
                )
            resumes = status == 206 and _first_byte(response) == written
            if written and not resumes:
                self._progress.advance(-written)  # the server ignores Range: from the start
            if status == 206 and not resumes:
                self._path.unlink(missing_ok=True)
                return False
            self._write(response, "ab" if resumes else "wb")
        return self._file.size is None

    def _write(self, response: requests.Response, mode: str) -> None:
        expected = self._file.size
        with open(self._path, mode) as out:
            # Not iter_content, which drops the last chunk if the connection breaks within it.
            while chunk := response.raw.read1(_CHUNK, decode_content=False):
                out.write(chunk)
                self._progress.advance(len(chunk))
                if expected is not None and out.tell() > expected:
                    break  # run() reports the wrong size
            out.flush()
            os.fsync(out.fileno())
        if expected is None and response.raw.length_remaining:
            raise requests.ConnectionError(f"{response.raw.length_remaining:,} bytes are missing")

    def _get(self, headers: Mapping[str, str]) -> requests.Response:
        """Follow redirects here, so that the key is sent only to Databento's hosts."""
        url = self._file.url
        for _ in range(_MAX_REDIRECTS):
            key = self._clients.key.get_secret_value() if takes_key(self._clients, url) else None
            with requests.Session() as session:
                # Otherwise a .netrc could add other credentials.
                session.trust_env = key is not None
                response = session.get(
                    url,
                    # No compression: Range counts the file's own bytes.
                    headers={"Accept-Encoding": "identity", **headers},
                    auth=None if key is None else HTTPBasicAuth(key, ""),
                    timeout=TIMEOUT,
                    stream=True,
                    allow_redirects=False,
                )
            if not response.is_redirect:
                return response
            response.close()
            url = urljoin(url, response.headers["Location"])
        raise self._error(f"too many redirects for {self._file.name}", "Retry.")


class _TransientError(Exception):
    """A status that may change at the next attempt."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.pause = retry_after(response.headers)


def _first_byte(response: requests.Response) -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _mismatch(path: Path, file: JobFile) -> str | None:
    """Return how a file differs from its listing, None if it does not."""
    if file.size is None:
        return None
    if not path.exists():
        return "is missing"
    actual = path.stat().st_size
    if actual != file.size:
        return f"has {actual:,} bytes, expected {file.size:,}"
    with open(path, "rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    return None if digest == file.sha256 else f"has a wrong sha256 ({digest[:12]}…)"


def _verify_manifest(part: Path, job_id: str, files: Sequence[JobFile]) -> None:
    """Raise ServiceError if the manifest states another size or hash than the listing."""
    path = part / MANIFEST
    if not path.exists():
        return
    try:
        document = json.loads(path.read_bytes())
        stated = {entry["filename"]: (entry["size"], entry["hash"]) for entry in document["files"]}
    except (ValueError, KeyError, TypeError):
        path.unlink()
        raise ServiceError(f"malformed {MANIFEST}", subject=job_id, remedy="Retry.") from None
    for file in files:
        if file.name in stated and stated[file.name] != (file.size, f"sha256:{file.sha256}"):
            raise ServiceError(
                f"{MANIFEST} and the list of files disagree on the size or hash of {file.name}",
                subject=job_id,
                remedy="Nothing of the job was kept. Ask Databento.",
            )


def _summarize(folder: Path) -> FetchedJob:
    sizes = [entry.stat().st_size for entry in folder.iterdir() if entry.is_file()]
    return FetchedJob(folder, len(sizes), sum(sizes))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
