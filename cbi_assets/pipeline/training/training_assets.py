"""The assets of the training tables and their folds, filled in one step after the matrix."""

from collections.abc import Iterator

import dagster as dg

from cbi_assets.build.owed_targets import BARS
from cbi_assets.config.training import load_training
from cbi_assets.pipeline.asset_keys import table_key
from cbi_assets.pipeline.metadata import table_metadata
from cbi_assets.pipeline.outcome_metadata import training_metadata
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.pipeline.warehouse_pool import POOL, WAREHOUSE_KIND
from cbi_assets.tables import (
    DAILY_ML_MATRIX,
    FOLDS,
    SESSIONS,
    TRAINING,
    TableSpec,
)
from cbi_assets.verbs import train

_CONDITION = (
    dg.AutomationCondition.any_deps_updated().since_last_handled()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
).with_label("the matrix changed")


def _deps(name: str) -> list[TableSpec]:
    table = load_training().tables[name]
    sources = [DAILY_ML_MATRIX, SESSIONS]
    return sources if table.bar is None else [*sources, BARS[table.bar]]


def _spec(table: TableSpec) -> dg.AssetSpec:
    deps = list(TRAINING.values()) if table is FOLDS else _deps(table.name)
    return dg.AssetSpec(
        key=table_key(table.id),
        deps=[table_key(dep.id) for dep in deps],
        group_name=table.dataset,
        kinds={WAREHOUSE_KIND, "table", "polars"},
        owners=["team:quant"],
        automation_condition=_CONDITION,
        skippable=True,  # or a subset could not be selected
        description=table.description,
        metadata=table_metadata(table),
    )


@dg.multi_asset(
    name="train",
    specs=[_spec(table) for table in (*TRAINING.values(), FOLDS)],
    can_subset=True,
    pool=POOL,
)
def training_tables(
    context: dg.AssetExecutionContext, project: ProjectResource, clock: Clock
) -> Iterator[dg.MaterializeResult[None]]:
    """Update them from the matrix and the bars; whichever are selected, all are updated."""
    with project.session(clock.now()) as session:
        outcome = train(session)
        metadata = training_metadata(session, outcome, project.read_lights(session))
    for table in (*TRAINING.values(), FOLDS):
        key = table_key(table.id)
        if key in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=key, metadata=metadata[table.id])
        else:
            context.log_event(dg.AssetMaterialization(key, metadata=metadata[table.id]))
