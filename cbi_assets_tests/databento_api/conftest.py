"""A separate vendor for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cbi_assets_tests.databento_api.buying import NOW
from cbi_assets_tests.databento_api.server import run_vendor
from cbi_assets_tests.databento_api.vendor import Vendor


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """Run Databento on loopback, with the tests' clock; its jobs are done at the second poll."""
    with run_vendor(Vendor(now=lambda: NOW)) as running:
        yield running
