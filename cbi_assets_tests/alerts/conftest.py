"""Two webhooks on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cbi_assets_tests.alerts.endpoint import Endpoint, run_endpoint


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A webhook."""
    with run_endpoint() as running:
        yield running


@pytest.fixture
def other() -> Iterator[Endpoint]:
    """Another webhook."""
    with run_endpoint() as running:
        yield running
