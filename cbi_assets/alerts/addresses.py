"""The addresses that alerts go to: URLs of a notification library, which are secrets.

Slack, mail, a desktop and a hundred others by URL, e.g. `slack://…`, `mailtos://…`, `json://…`.
An address is never shown: messages name it by its place in CBI_ALERT_URLS and its service.
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

_TALKATIVE = ("apprise", "urllib3", "requests")
"""Loggers that would write an address or a path of it."""


@dataclass(frozen=True)
class Address:
    """One address. `id` is a hash that tells it from others; `name` is for people."""

    id: str
    name: str
    service: apprise.NotifyBase = field(repr=False)

    def send(self, title: str, body: str, severity: apprise.NotifyType) -> bool:
        """Send one message; whether the service took it."""
        with _silenced():
            try:
                return bool(self.service.notify(body=body, title=title, notify_type=severity))
            except Exception:  # a service's own; whatever it is, the message did not go out
                return False


def read_addresses(settings: Settings) -> list[Address]:
    """The addresses of CBI_ALERT_URLS, separated by blanks; none where it is not set.

    Raises UsageError for one that no service can be made of.
    """
    secret = settings.cbi_alert_urls
    urls = [] if secret is None else secret.get_secret_value().split()
    addresses = []
    for place, url in enumerate(urls, 1):
        with _silenced():
            service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
        if not isinstance(service, apprise.NotifyBase):
            raise UsageError(
                f"CBI_ALERT_URLS: address {place} of {len(urls)} cannot be read. Write it as the "
                "notification library's page of its service says, e.g. slack://TokenA/TokenB/TokenC."
            )
        digest = hashlib.blake2b(url.encode(), digest_size=6).hexdigest()
        kind = re.sub(r"[^\w .-]", "", str(service.service_name))
        addresses.append(Address(digest, f"address {place} ({kind})", service))
    return addresses


@contextmanager
def _silenced() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
