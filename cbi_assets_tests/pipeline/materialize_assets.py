"""Materialize assets as a run of Dagster's daemon does."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import dagster as dg

from cbi_assets.definitions import defs

QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def materialize_assets(
    keys: Collection[dg.AssetKey],
    instance: dg.DagsterInstance,
    resources: dict[str, Any],
    **options: Any,
) -> dg.ExecuteInProcessResult:
    """Materialize assets in this process, with the checks that a run of the daemon includes."""
    graph = defs.resolve_asset_graph()
    checks = {
        key
        for key in graph.get_check_keys_for_assets(set(keys))
        if graph.get(key).automation_condition is None
    }
    selection = dg.AssetSelection.assets(*keys).without_checks()
    return dg.materialize(
        [*(defs.assets or ()), *(defs.asset_checks or ())],
        selection=selection | dg.AssetSelection.checks(*checks),
        instance=instance,
        resources=resources,
        run_config=QUIET,
        raise_on_error=False,
        **options,
    )
