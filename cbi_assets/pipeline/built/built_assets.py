"""The assets that `cbi build` fills in one step: sessions, rolls, continuous series and matrix."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from cbi_assets.checks import CHECKS
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.pipeline.asset_keys import table_key
from cbi_assets.pipeline.metadata import built_metadata, table_metadata
from cbi_assets.pipeline.plots import profile_built
from cbi_assets.pipeline.reporting import report_checks, report_lights
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.pipeline.to_dagster import lights_metadata
from cbi_assets.pipeline.warehouse_pool import POOL, WAREHOUSE_KIND
from cbi_assets.tables import (
    BUILT,
    CONTINUOUS,
    DAILY_ML_MATRIX,
    MACRO_OBSERVATIONS,
    RAW,
    ROLL_CALENDAR,
    SESSIONS,
    YAHOO_BRIDGE,
    TableSpec,
)
from cbi_assets.verbs import build

_OF_BUILD = {check.name for check in CHECKS if check.of_build}

MATRIX_KEY = table_key(DAILY_ML_MATRIX.id)

FRESHNESS = dg.FreshnessPolicy.time_window(
    fail_window=dt.timedelta(days=11), warn_window=dt.timedelta(days=5)
)
"""How old the newest trade date may be (`data_freshness.py`). Two trade dates are up to four days
apart, so five days without data are more than a long weekend. The bars' own limit is five trade
dates (`bars_are_fresh`), which span up to eleven days over Christmas: this policy never fails
before that check.

Raw tables have no policy: they follow the drive, and a day without a delivery is not an error."""

_FIRST = (
    dg.AutomationCondition.missing()
    & dg.AutomationCondition.asset_matches(
        table_key(SESSIONS.id),
        dg.AutomationCondition.any_deps_match(~dg.AutomationCondition.missing()),
    )
).newly_true()

# Dagster's since_last_handled() forgets an update that comes after the table's own within one tick,
# since it combines conditions, which have no timestamps. These two compare timestamps: an update is
# handled by a later build, or by a later request, so that a build that fails is not repeated.
_UPDATED = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.newly_updated())
_BEHIND = _UPDATED.since(dg.AutomationCondition.newly_updated()) & _UPDATED.since(
    dg.AutomationCondition.newly_requested()
)
_WITH_DEPS = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested())

# A failed check of one root must not keep the others from being built: the build looks up failed
# checks in the warehouse, and leaves out the roots that they are of.
_CONDITION = (
    (_BEHIND | _WITH_DEPS | _FIRST)
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
).with_label("bars changed")

_DEPS: dict[str, list[TableSpec]] = {
    SESSIONS.id: [RAW[timeframe] for timeframe in TIMEFRAMES],
    ROLL_CALENDAR.id: [SESSIONS],
    CONTINUOUS.id: [SESSIONS, ROLL_CALENDAR, YAHOO_BRIDGE],
    DAILY_ML_MATRIX.id: [SESSIONS, ROLL_CALENDAR, MACRO_OBSERVATIONS],
}


def _spec(table: TableSpec) -> dg.AssetSpec:
    is_matrix = table is DAILY_ML_MATRIX
    return dg.AssetSpec(
        key=table_key(table.id),
        deps=[table_key(dep.id) for dep in _DEPS[table.id]],
        group_name=table.dataset,
        kinds={WAREHOUSE_KIND, "table", "polars"},
        owners=["team:quant" if is_matrix else "team:market-data"],
        automation_condition=_CONDITION,
        skippable=True,  # or a subset could not be selected
        freshness_policy=FRESHNESS,
        description=table.description,
        metadata=table_metadata(table),
    )


@dg.multi_asset(name="build", specs=[_spec(table) for table in BUILT], can_subset=True, pool=POOL)
def built_tables(
    context: dg.AssetExecutionContext, project: ProjectResource, clock: Clock
) -> Iterator[dg.MaterializeResult[None]]:
    """Update them from the bars; a root with a failed check upstream keeps its rows.

    Whichever of them are selected, one transaction updates all, and all are reported.
    """
    with project.session(clock.now()) as session:
        outcome = build(session)
        profile = profile_built(session)
        lights = project.read_lights(session)
    report_lights(context, lights)
    for root, reasons in outcome.skipped.items():
        context.log.warning("%s was not rebuilt: %s", root, "; ".join(reasons))
    for table in BUILT:
        key = table_key(table.id)
        metadata = {
            **built_metadata(outcome, table, profile.ranges[table.id], profile.plots),
            **lights_metadata(lights),
        }
        if key in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=key, metadata=metadata)
        else:
            context.log_event(dg.AssetMaterialization(key, metadata=metadata))
    report_checks(context, [result for result in outcome.checks if result.name in _OF_BUILD])
