"""The vendor of the tests, for what is planned, approved and bought."""

from __future__ import annotations

from cbi_assets_tests.databento_api.conftest import vendor

__all__ = ["vendor"]
