"""The fixture `cbi`, which runs the command line in its own process."""

from __future__ import annotations

from cbi_assets_tests.cli.test_cli import cbi

__all__ = ["cbi"]
