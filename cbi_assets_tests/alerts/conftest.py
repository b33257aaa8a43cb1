"""Two web hooks on loopback, and a home that tells them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cbi_assets_tests.alerts.endpoint import Endpoint, run_endpoint


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A web hook."""
    with run_endpoint() as running:
        yield running


@pytest.fixture
def other() -> Iterator[Endpoint]:
    """Another web hook."""
    with run_endpoint() as running:
        yield running
