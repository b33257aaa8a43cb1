"""Clients for Databento's HTTP API: retries, rate limits, and errors without the key.

The key is sent only to Databento, or to a server on this machine's loopback.
"""

from __future__ import annotations

import base64
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import requests
from databento import BentoError, BentoHttpError
from databento.common.enums import HistoricalGateway
from databento.historical.api.batch import BatchHttpAPI
from databento.historical.api.metadata import MetadataHttpAPI
from databento.historical.api.symbology import SymbologyHttpAPI
from pydantic import SecretStr

from cbi_assets.config.settings import Settings, is_loopback
from cbi_assets.errors import ServiceError, UsageError
from cbi_assets.library_warnings import ignore_library_warnings

ignore_library_warnings()

BASE_URL: Final = str(HistoricalGateway.BO1)
"""Databento's gateway, https."""

MAX_ATTEMPTS: Final = 6
_BACKOFF_SECONDS: Final = (1.0, 60.0)
TRANSIENT_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
MASK: Final = "********"


class RateLimiter:
    """At most `calls` in any window of `seconds`."""

    def __init__(
        self, calls: int, seconds: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self.monotonic = monotonic
        self._calls: deque[float] = deque(maxlen=calls)

    def wait(self, pause: Callable[[float], None]) -> None:
        """Call `pause` with the seconds until the next call is allowed, if any, and count it."""
        if len(self._calls) == self._calls.maxlen:
            left = self._calls[0] + self._seconds - self.monotonic()
            if left > 0:
                pause(left)
        self._calls.append(self.monotonic())


@dataclass(frozen=True)
class Clients:
    """The API clients of one account. Databento allows 20 calls a second, 20 submissions a minute.

    `pause` waits for a number of seconds; tests pass one that returns at once.
    """

    key: SecretStr
    base_url: str
    batch: BatchHttpAPI
    metadata: MetadataHttpAPI
    symbology: SymbologyHttpAPI
    pause: Callable[[float], None] = field(default=time.sleep)
    calls: RateLimiter = field(default_factory=lambda: RateLimiter(20, 1.0))
    submissions: RateLimiter = field(default_factory=lambda: RateLimiter(20, 60.0))

    @property
    def host(self) -> str:
        """Host and port that the key may be sent to."""
        return urlsplit(self.base_url).netloc

    def call[Answer](
        self, action: str, call: Callable[[], Answer], *, idempotent: bool = True
    ) -> Answer:
        """Return `call()`, within the rate limit and retried after transient errors.

        Transient are 408, 425, 429, 5xx, no connection and a timeout. Pauses grow, or follow
        Retry-After.

        Parameters
        ----------
        action : str
            What the call does, as an imperative: completes "could not …".
        call : callable
            One request by one of the clients.
        idempotent : bool
            If False, retry only after a 429, which says that nothing was done.

        Raises
        ------
        UsageError
            If Databento rejects the key.
        ServiceError
            For every other failure. Neither contains the key.
        """
        for attempt in range(1, MAX_ATTEMPTS + 1):
            self.calls.wait(self.pause)
            try:
                return call()
            except (BentoError, requests.RequestException, ValueError) as error:
                wait = _backoff(attempt, error, idempotent)
                if wait is None or attempt == MAX_ATTEMPTS:
                    raise self._translate(action, error, attempt) from None
                self.pause(wait)
        raise AssertionError("unreachable")

    def mask(self, text: str) -> str:
        """Return the text on one line with the key masked, plain or as in a header."""
        key = self.key.get_secret_value()
        for secret in (key, base64.b64encode(f"{key}:".encode()).decode()):
            text = text.replace(secret, MASK)
        return " ".join(text.split())

    def _translate(self, action: str, error: Exception, attempts: int) -> UsageError | ServiceError:
        if isinstance(error, requests.Timeout):
            reason = f"{self.host} did not respond in time"
        elif isinstance(error, requests.ConnectionError):
            reason = f"{self.host} is unreachable, or dropped the connection"
        else:
            reason = self.mask(str(error))
        if isinstance(error, BentoHttpError) and error.http_status in (401, 403):
            return UsageError(
                f"Databento rejected it, could not {action}: {reason}",
                subject="DATABENTO_API_KEY",
                remedy="Check the key and its permissions in Databento's portal.",
            )
        times = f" after {attempts} attempts" if attempts > 1 else ""
        return ServiceError(
            f"could not {action}{times}: {reason}", subject="Databento", remedy="Retry later."
        )


def connect(
    key: SecretStr | None,
    base_url: str | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Clients:
    """Return clients for Databento's gateway, or for a server on loopback. Sends nothing yet.

    Raises UsageError if no key is set, or if `base_url` is neither.
    """
    if key is None or not key.get_secret_value().strip():
        raise UsageError(
            "not set, and quotes, downloads and `cbi resolve` need it",
            subject="DATABENTO_API_KEY",
            remedy="Set it in the environment or in .env.",
        )
    url = (base_url or BASE_URL).rstrip("/")
    if url != BASE_URL and not (url.startswith("http://") and is_loopback(url)):
        raise UsageError(
            f"{url} is not http:// on loopback, and the key is sent only to Databento or to a "
            "test server on this machine",
            subject="CBI_DATABENTO_ENDPOINT",
            remedy="Unset it to use Databento.",
        )
    plain = key.get_secret_value().strip()
    return Clients(SecretStr(plain), url, BatchHttpAPI(plain, url), MetadataHttpAPI(plain, url),
                   SymbologyHttpAPI(plain, url), pause)  # fmt: skip


def connect_from_settings(
    settings: Settings, pause: Callable[[float], None] = time.sleep
) -> Clients:
    """Return clients for the key and the endpoint in the settings."""
    return connect(settings.databento_api_key, settings.cbi_databento_endpoint, pause)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header, None if there is none in seconds."""
    for name, value in headers.items():
        if name.lower() == "retry-after":
            try:
                return max(0.0, float(value))
            except ValueError:
                return None
    return None


def _backoff(attempt: int, error: Exception, idempotent: bool) -> float | None:
    """Return the seconds to wait before the next attempt, None if there must be none."""
    first, longest = _BACKOFF_SECONDS
    backoff: float = min(longest, first * 2.0 ** (attempt - 1)) * random.uniform(0.75, 1.25)
    if isinstance(error, BentoHttpError):
        status = error.http_status
        if status not in TRANSIENT_STATUSES or not (idempotent or status == 429):
            return None
        requested = retry_after(error.headers)
        return backoff if requested is None else requested
    if isinstance(error, requests.RequestException) and idempotent:
        return backoff
    return None
