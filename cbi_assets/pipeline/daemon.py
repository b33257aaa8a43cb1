"""Dagster's daemon, quicker: a process is ready for the next run, and a backfill goes on at once.

Dagster's looks at backfills every 30 seconds, which is long for one whose runs take three.
"""

from __future__ import annotations

from typing import Final
from unittest.mock import patch

from dagster._daemon import cli

from cbi_assets.pipeline.run_process import prepare

SECONDS: Final = 3
"""How often the daemon looks at backfills."""


def main() -> None:
    """Run the daemon; arguments are its command's."""
    prepare()
    with patch("dagster._daemon.controller.DEFAULT_DAEMON_INTERVAL_SECONDS", SECONDS):
        cli.main()


if __name__ == "__main__":
    main()
