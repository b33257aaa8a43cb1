"""Dagster's daemon, quicker, and with freshness by data.

Dagster's looks at backfills every 30 seconds, which is long for one whose runs take three, opens
its event log for every partition that a run will materialize, and has no process ready for a run.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Final
from unittest.mock import patch

import dagster as dg
from dagster._daemon import cli, controller

from cbi_assets.pipeline.data_freshness import freshness_by_data
from cbi_assets.pipeline.event_log import keep_event_log_open
from cbi_assets.pipeline.run_process import prepare

SECONDS: Final = 3
"""How often the daemon looks at backfills."""

_control = controller.daemon_controller_from_instance


def main() -> None:
    """Run the daemon; arguments are its command's."""
    prepare()
    with (
        freshness_by_data(),
        patch("dagster._daemon.controller.DEFAULT_DAEMON_INTERVAL_SECONDS", SECONDS),
        patch("dagster._daemon.cli.daemon_controller_from_instance", _with_open_event_log),
    ):
        cli.main()


def _with_open_event_log(
    instance: dg.DagsterInstance, **options: Any
) -> AbstractContextManager[controller.DagsterDaemonController]:
    keep_event_log_open(instance)
    return _control(instance, **options)


if __name__ == "__main__":
    main()
