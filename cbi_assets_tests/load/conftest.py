"""The vendor that the tests ask for names."""

from __future__ import annotations

from cbi_assets_tests.databento_api.conftest import vendor

__all__ = ["vendor"]
