"""Clients for Databento's HTTP API, and what they raise as one line without the key.

The key goes to the vendor's host, or to a server on this machine's loopback, and nowhere else.
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import requests
from databento import BentoError, BentoHttpError
from databento.common.enums import HistoricalGateway
from databento.historical.api.batch import BatchHttpAPI
from databento.historical.api.metadata import MetadataHttpAPI
from pydantic import SecretStr

from cbi_assets.config.settings import Settings, is_loopback
from cbi_assets.errors import ServiceError, UsageError

BASE_URL: Final = str(HistoricalGateway.BO1)
"""The vendor's gateway, https."""

TRIES: Final = 6
_PAUSES: Final = (1.0, 60.0)
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
MASK: Final = "********"


@dataclass(frozen=True)
class Clients:
    """Open clients of one account. `pause` waits so many seconds; tests give one that does not."""

    key: SecretStr
    base_url: str
    batch: BatchHttpAPI
    metadata: MetadataHttpAPI
    pause: Callable[[float], None] = field(default=time.sleep)

    @property
    def host(self) -> str:
        """Host and port that the key may be sent to."""
        return urlsplit(self.base_url).netloc

    def ask[Answer](self, what: str, call: Callable[[], Answer], *, repeat: bool = True) -> Answer:
        """`call()`; passing errors (429, 5xx, no connection, a stall) are repeated with growing
        pauses, Retry-After honoured.

        With `repeat` False only a 429 is repeated: that one says that nothing was done. `what`
        completes "Databento: … failed". Raises UsageError for a key that is not taken,
        ServiceError for all else, in one line without the key.
        """
        for trial in range(TRIES):
            try:
                return call()
            except (BentoError, requests.RequestException, ValueError) as error:
                wait = _pause_before(trial, error, repeat)
                if wait is None or trial == TRIES - 1:
                    raise self._told(what, error, trial + 1) from None
                self.pause(wait)
        raise AssertionError("unreachable")

    def mask(self, text: str) -> str:
        """The text in one line without the key, plain or as it stands in a header."""
        key = self.key.get_secret_value()
        for secret in (key, base64.b64encode(f"{key}:".encode()).decode()):
            text = text.replace(secret, MASK)
        return " ".join(text.split())

    def _said(self, error: Exception) -> str:
        if isinstance(error, requests.Timeout):
            return f"{self.host} did not answer in time"
        if isinstance(error, requests.ConnectionError):
            return f"{self.host} cannot be reached, or dropped the line"
        return str(error)

    def _told(self, what: str, error: Exception, tries: int) -> UsageError | ServiceError:
        line = self.mask(self._said(error)).rstrip(".")
        if isinstance(error, BentoHttpError) and error.http_status in (401, 403):
            return UsageError(
                f"DATABENTO_API_KEY: Databento does not take it to {what}: {line}. "
                "Look at the key and its rights in Databento's portal."
            )
        times = f" after {tries} tries" if tries > 1 else ""
        return ServiceError(f"Databento: could not {what}{times}: {line}. Run this again later.")


def connect(
    key: SecretStr | None,
    base_url: str | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Clients:
    """Clients for the vendor's gateway, or for a server on loopback. Asks nothing yet.

    Raises UsageError where no key is set, or `base_url` is neither.
    """
    if key is None or not key.get_secret_value().strip():
        raise UsageError(
            "DATABENTO_API_KEY: not set. It is needed to quote and to download; put it into the "
            "environment or .env."
        )
    url = (base_url or BASE_URL).rstrip("/")
    if url != BASE_URL and not (url.startswith("http://") and is_loopback(url)):
        raise UsageError(
            f"CBI_DATABENTO_ENDPOINT: {url} is not http:// on loopback. The key goes to Databento "
            "or to a test server on this machine only; unset it for Databento."
        )
    plain = key.get_secret_value().strip()
    return Clients(SecretStr(plain), url, BatchHttpAPI(plain, url), MetadataHttpAPI(plain, url),
                   pause)  # fmt: skip


def connect_of(settings: Settings, pause: Callable[[float], None] = time.sleep) -> Clients:
    """The clients that the settings ask for."""
    return connect(settings.databento_api_key, settings.cbi_databento_endpoint, pause)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a Retry-After header asks for, None where there is none in seconds."""
    for name, value in headers.items():
        if name.lower() == "retry-after":
            try:
                return max(0.0, float(value))
            except ValueError:
                return None
    return None


def _pause_before(trial: int, error: Exception, repeat: bool) -> float | None:
    """Seconds to wait before the call is repeated, None where it is not."""
    first, most = _PAUSES
    backoff: float = min(most, first * 2.0**trial) * random.uniform(0.75, 1.25)
    if isinstance(error, BentoHttpError):
        if error.http_status not in _PASSING or not (repeat or error.http_status == 429):
            return None
        asked = retry_after(error.headers)
        return backoff if asked is None else asked
    if isinstance(error, requests.RequestException) and repeat:
        return backoff
    return None
