"""What the vendor lists of a job's files, and which of its URLs may be sent the key."""

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
    """One file as the vendor lists it. `size` and `sha256` are None for one that is not listed."""

    name: str
    url: str
    size: int | None
    sha256: str | None


def read_listing(
    clients: Clients, job_id: str, listing: Sequence[Mapping[str, Any]]
) -> list[JobFile]:
    """The files of `batch.list_files`, with the manifest beside them where it is not listed.

    Raises ServiceError for an empty or strange listing, and for a URL on a foreign host.
    """
    found = []
    for entry in listing:
        try:
            name, size, url = str(entry["filename"]), int(entry["size"]), entry["urls"]["https"]
            match = _HASH.fullmatch(str(entry["hash"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ServiceError(
                f"job {job_id}: Databento's list of files is not understood ({error!r})."
            ) from None
        if not _NAME.fullmatch(name) or match is None or size < 0:
            raise ServiceError(
                f"job {job_id}: Databento lists a file {name!r} of {size} bytes with hash "
                f"{entry['hash']!r}, which cannot be fetched and verified. Nothing was fetched."
            )
        if not takes_key(clients, url):
            raise ServiceError(
                f"job {job_id}: {name} is said to lie at {urlsplit(url).netloc}, which is not "
                f"Databento's ({clients.host}). The key was not sent there; ask the vendor."
            )
        found.append(JobFile(name, url, size, match[1]))
    if not found or len({file.name for file in found}) < len(found):
        raise ServiceError(f"job {job_id}: Databento lists no file, or one twice. Run this again.")
    if all(file.name != MANIFEST for file in found):
        parts = urlsplit(found[0].url)
        beside = urlunsplit(parts._replace(path=urljoin(parts.path, quote(MANIFEST))))
        found.append(JobFile(MANIFEST, beside, None, None))
    return found


def takes_key(clients: Clients, url: str) -> bool:
    """Whether the key may be sent to `url`: the host that is asked for all else, by the same
    scheme; for the vendor's own, any of its hosts (files lie on another one than the API)."""
    given, base = urlsplit(url), urlsplit(clients.base_url)
    if given.username is not None or given.password is not None:
        return False
    if (given.scheme, given.netloc) == (base.scheme, base.netloc):
        return True
    vendors = urlsplit(BASE_URL)
    domain = ".".join((vendors.hostname or "").split(".")[-2:])
    try:
        usual_port = given.port in (None, 443)
    except ValueError:
        return False
    return (
        base.netloc == vendors.netloc
        and given.scheme == "https"
        and usual_port
        and (given.hostname or "").endswith(f".{domain}")
    )
