"""Where alerts go: Apprise URLs, which are secrets.

Slack, mail, a desktop and a hundred others by URL, e.g. `slack://…`, `mailtos://…`, `json://…`.
A URL is never shown: messages give its position in CBI_ALERT_URLS and its service.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import apprise

from cbi_assets.config.settings import Settings
from cbi_assets.errors import UsageError

_LEAKY_LOGGERS = ("apprise", "urllib3", "requests")
"""Loggers that would write an address or its path."""


@dataclass(frozen=True)
class Address:
    """One address. `id` is a hash of its URL; `name` is for people."""

    id: str
    name: str
    service: apprise.NotifyBase = field(repr=False)

    def send(self, title: str, body: str, severity: apprise.NotifyType) -> bool:
        """Send one message, and return whether the service accepted it."""
        with _silenced():
            try:
                return bool(self.service.notify(body=body, title=title, notify_type=severity))
            except Exception:  # each service raises its own; none of them sent the message
                return False


def read_addresses(settings: Settings) -> list[Address]:
    """Return the addresses of CBI_ALERT_URLS, which are separated by spaces; empty if it is unset.

    Raises UsageError for an address that is not an Apprise URL.
    """
    secret = settings.cbi_alert_urls
    urls = [] if secret is None else secret.get_secret_value().split()
    addresses = []
    for place, url in enumerate(urls, 1):
        with _silenced():
            service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
        if not isinstance(service, apprise.NotifyBase):
            raise UsageError(
                f"address {place} of {len(urls)} is not an Apprise URL",
                subject="CBI_ALERT_URLS",
                remedy="Write it as Apprise's documentation of its service says, e.g. "
                "slack://TokenA/TokenB/TokenC.",
            )
        digest = hashlib.blake2b(url.encode(), digest_size=6).hexdigest()
        kind = re.sub(r"[^\w .-]", "", str(service.service_name))
        addresses.append(Address(digest, f"address {place} ({kind})", service))
    return addresses


@contextmanager
def _silenced() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _LEAKY_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
