"""Fetch a job's files: resumed where they broke off, verified by us, and whole or absent.

The files of a job are written into a hidden folder beside the job's own, which gets its name when
every file has the size and sha256 that the vendor told. The key goes to the vendor's hosts only.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urljoin

import requests
import urllib3
from requests.auth import HTTPBasicAuth

from cbi_assets.databento_api.client import Clients, retry_after
from cbi_assets.databento_api.file_listing import MANIFEST, JobFile, takes_key
from cbi_assets.errors import CbiError, ServiceError

TIMEOUT: Final = (20.0, 60.0)
"""Seconds to connect, and to wait for the next bytes."""

TRIES: Final = 6
"""Tries in a row that bring nothing before a file is given up."""

_CHUNK: Final = 1 << 20
_HOPS: Final = 3
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class Progress(Protocol):
    """What is shown while files come."""

    def advance(self, nbytes: int) -> None:
        """So many more bytes are there; negative where some had to be thrown away."""


class _Quiet:
    def advance(self, nbytes: int) -> None:
        """Shows nothing."""


@dataclass(frozen=True)
class Fetched:
    """A job's folder on the drive, whole: how many files, and their size in bytes."""

    folder: Path
    files: int
    bytes: int


def fetch_job(
    clients: Clients,
    files: Sequence[JobFile],
    folder: Path,
    tell: Callable[[str], None] = lambda message: None,
    progress: Progress | None = None,
) -> Fetched:
    """Fetch a job's files into `folder`, named by the job; what was begun before is resumed.

    A folder that is there already is verified and left as it is. Raises ServiceError where the
    vendor does not give the files as it lists them, and CbiError where the drive does not take
    them; `folder` is then not there.
    """
    shown = progress or _Quiet()
    if folder.exists():
        for file in files:
            if (why := _differs(folder / file.name, file)) is not None:
                raise CbiError(
                    f"{folder}: {file.name} {why}, so this is not what Databento lists for the "
                    "job. Move the folder away, then run this again."
                )
        return _measured(folder)
    part = _part_of(folder)
    try:
        part.mkdir(parents=True, exist_ok=True)
        known = {file.name for file in files}
        for stray in part.iterdir():
            if stray.name not in known:
                stray.unlink()
        for file in files:
            _Fetch(clients, file, part / file.name, tell, shown).run()
        _hold_to_manifest(part, folder.name, files)
        _sync(part)
        part.rename(folder)
        _sync(folder.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(folder.parent).free
            raise CbiError(
                f"{folder}: the drive is full ({free / 1e6:,.1f} MB free). Make room, then run "
                "this again: it goes on where it stopped, and buys nothing again."
            ) from None
        raise CbiError(
            f"{folder}: the drive does not take the files ({error.strerror}). Look at the drive, "
            "then run this again: it goes on where it stopped, and buys nothing again."
        ) from None
    return _measured(folder)


def discard_part(folder: Path) -> None:
    """Remove what was fetched of a job whose other files will never come."""
    part = _part_of(folder)
    if part.exists():
        shutil.rmtree(part)


def _part_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.part")


class _Fetch:
    """One file: fetched from where it broke off, until it is whole and its sha256 right."""

    def __init__(
        self,
        clients: Clients,
        file: JobFile,
        path: Path,
        tell: Callable[[str], None],
        progress: Progress,
    ) -> None:
        self._clients = clients
        self._file = file
        self._path = path
        self._tell = tell
        self._progress = progress

    def run(self) -> None:
        wrong = fruitless = 0
        why = ""
        if self._file.size is None:
            self._path.unlink(missing_ok=True)  # nothing tells where it would go on
        else:
            self._progress.advance(min(self._held(), self._file.size))
        while True:
            if self._file.size is not None and self._held() >= self._file.size:
                difference = _differs(self._path, self._file)
                if difference is None:
                    return
                self._progress.advance(-min(self._held(), self._file.size))
                self._path.unlink()
                wrong += 1
                why = difference
                if wrong > 1:
                    raise ServiceError(
                        f"{self._path.parent.name[1:-5]}: {self._file.name} {why}, fetched twice. "
                        "Nothing of the job was kept; run this again, or ask the vendor."
                    )
                self._tell(f"{self._file.name} {why}; fetching it again")
            before = self._held()
            try:
                if self._once():
                    return
                why, pause = "the line broke off", None
            except _PassingError as error:
                why, pause = str(error), error.pause
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                why, pause = self._clients.mask(str(error)), None
            fruitless = 0 if self._held() > before else fruitless + 1
            if fruitless >= TRIES:
                raise ServiceError(
                    f"{self._path.parent.name[1:-5]}: Databento does not give {self._file.name} "
                    f"after {TRIES} tries: {why.rstrip('.')}. Run this again: it goes on where it "
                    "stopped, and buys nothing again."
                )
            if self._file.size is None or self._held() < self._file.size:
                self._clients.pause(min(60.0, 2.0**fruitless) if pause is None else pause)

    def _held(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def _once(self) -> bool:
        """Ask for what is missing and write what comes; whether a file of no known size is whole.

        Raises requests' errors where the line breaks, and _PassingError for a passing answer.
        """
        held = self._held()
        headers = {"Range": f"bytes={held}-"} if held else {}
        with self._open(headers) as response:
            if response.status_code == 404 and self._file.size is None:
                self._tell(f"the vendor has no {self._file.name} for this job")
                return True
            if response.status_code == 416:
                self._progress.advance(-held)
                self._path.unlink()
                return False
            if response.status_code in _PASSING:
                raise _PassingError(response)
            if response.status_code not in (200, 206):
                raise ServiceError(
                    f"{self._path.parent.name[1:-5]}: Databento does not give {self._file.name} "
                    f"(HTTP {response.status_code}). Run this again, or ask the vendor."
                )
            goes_on = response.status_code == 206 and _starts_at(response) == held
            if held and not goes_on:
                self._progress.advance(-held)  # the server does not heed Range: from the start
            if response.status_code == 206 and not goes_on:
                self._path.unlink(missing_ok=True)
                return False
            self._write(response, "ab" if goes_on else "wb")
        return self._file.size is None

    def _write(self, response: requests.Response, mode: str) -> None:
        most = self._file.size
        with open(self._path, mode) as out:
            # as it comes: iter_content would drop what a broken line brought of its last chunk
            while chunk := response.raw.read1(_CHUNK, decode_content=False):
                out.write(chunk)
                self._progress.advance(len(chunk))
                if most is not None and out.tell() > most:
                    break  # more than the vendor lists: its size tells
            out.flush()
            os.fsync(out.fileno())
        if most is None and response.raw.length_remaining:
            raise requests.ConnectionError(f"{response.raw.length_remaining:,} bytes are missing")

    def _open(self, headers: Mapping[str, str]) -> requests.Response:
        """Ask, following redirects ourselves: the key goes along to the vendor's hosts only."""
        url = self._file.url
        for _ in range(_HOPS):
            key = self._clients.key.get_secret_value() if takes_key(self._clients, url) else None
            with requests.Session() as session:
                # else a .netrc could put other credentials in
                session.trust_env = key is not None
                response = session.get(
                    url,
                    # bytes as they are: a Range counts those
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
        raise ServiceError(f"{self._file.name}: Databento sends us on and on. Run this again.")


class _PassingError(Exception):
    """An answer that may be another one soon."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.pause = retry_after(response.headers)


def _starts_at(response: requests.Response) -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _differs(path: Path, file: JobFile) -> str | None:
    """In which way a file is not what the vendor lists; None where it is."""
    if file.size is None:
        return None
    if not path.exists():
        return "is missing"
    size = path.stat().st_size
    if size != file.size:
        return f"has {size:,} bytes, not {file.size:,}"
    with open(path, "rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    return None if digest == file.sha256 else f"has a wrong sha256 ({digest[:12]}…)"


def _hold_to_manifest(part: Path, job_id: str, files: Sequence[JobFile]) -> None:
    """Raise ServiceError where the manifest tells another size or hash than the list of files."""
    path = part / MANIFEST
    if not path.exists():
        return
    try:
        document = json.loads(path.read_bytes())
        told = {entry["filename"]: (entry["size"], entry["hash"]) for entry in document["files"]}
    except (ValueError, KeyError, TypeError):
        path.unlink()
        raise ServiceError(
            f"{job_id}: {MANIFEST} is not what Databento writes. Run this again."
        ) from None
    for file in files:
        if file.name in told and told[file.name] != (file.size, f"sha256:{file.sha256}"):
            raise ServiceError(
                f"{job_id}: {MANIFEST} and Databento's list of files tell different sizes or "
                f"hashes of {file.name}. Nothing of the job was kept; ask the vendor."
            )


def _measured(folder: Path) -> Fetched:
    sizes = [entry.stat().st_size for entry in folder.iterdir() if entry.is_file()]
    return Fetched(folder, len(sizes), sum(sizes))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
