"""Databento's listing of a job's files, and the URLs that may receive the key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from cbi_assets.databento_api.client import BASE_URL, Clients
from cbi_assets.errors import ServiceError

MANIFEST: Final = "manifest.json"

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ -]*")
_HASH: Final = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class JobFile:
    """One file of a job. `size` and `sha256` are None for a file that is not listed."""

    name: str
    url: str
    size: int | None
    sha256: str | None


def parse_listing(
    clients: Clients, job_id: str, listing: Sequence[Mapping[str, Any]]
) -> list[JobFile]:
    """Return the files of `list_files`, and the manifest even if it is not listed.

    Raises ServiceError for an empty or malformed listing, and for a URL on another host.
    """
    files = []
    for entry in listing:
        try:
            name, size, url = str(entry["filename"]), int(entry["size"]), entry["urls"]["https"]
            match = _HASH.fullmatch(str(entry["hash"]))
        except (KeyError, TypeError, ValueError) as error:
            raise _error(job_id, f"unexpected list of files ({error!r})") from None
        if not _NAME.fullmatch(name) or match is None or size < 0:
            raise _error(
                job_id,
                f"cannot verify the listed file {name!r} of {size} bytes with hash "
                f"{entry['hash']!r}",
                "Nothing was downloaded.",
            )
        if not takes_key(clients, url):
            raise _error(
                job_id,
                f"the URL of {name} is on {urlsplit(url).netloc}, which is not Databento's "
                f"({clients.host}); the key was not sent there",
                "Ask Databento.",
            )
        files.append(JobFile(name, url, size, match[1]))
    if not files or len({file.name for file in files}) < len(files):
        raise _error(job_id, "Databento lists no file, or one twice", "Retry.")
    if all(file.name != MANIFEST for file in files):
        parts = urlsplit(files[0].url)
        url = urlunsplit(parts._replace(path=urljoin(parts.path, quote(MANIFEST))))
        files.append(JobFile(MANIFEST, url, None, None))
    return files


def _error(job_id: str, problem: str, remedy: str = "") -> ServiceError:
    return ServiceError(problem, subject=f"job {job_id}", remedy=remedy)


def takes_key(clients: Clients, url: str) -> bool:
    """Return whether the key may be sent to `url`.

    It may be sent to the API's own host by the same scheme. If that is Databento's, also to its
    other hosts by https, because files are not on the API's host.
    """
    target, base = urlsplit(url), urlsplit(clients.base_url)
    if target.username is not None or target.password is not None:
        return False
    if (target.scheme, target.netloc) == (base.scheme, base.netloc):
        return True
    databento = urlsplit(BASE_URL)
    domain = ".".join((databento.hostname or "").split(".")[-2:])
    try:
        is_default_port = target.port in (None, 443)
    except ValueError:
        return False
    return (
        base.netloc == databento.netloc
        and target.scheme == "https"
        and is_default_port
        and (target.hostname or "").endswith(f".{domain}")
    )
