"""`cbi` in a process of its own, for the audit's command."""

from __future__ import annotations

from cbi_assets_tests.cli.test_cli import cbi

__all__ = ["cbi"]
