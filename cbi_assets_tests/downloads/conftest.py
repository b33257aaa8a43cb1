"""The vendor that the tests plan, approve and buy from."""

from __future__ import annotations

from cbi_assets_tests.databento_api.conftest import home_of_tuesday, published, vendor

__all__ = ["home_of_tuesday", "published", "vendor"]
