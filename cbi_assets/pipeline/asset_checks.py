"""Make a Dagster check of each check for each table it fits.

Partitioned asset checks are a preview of Dagster's; this is the one module that defines them.
"""

from collections.abc import Callable, Sequence

import dagster as dg

from cbi_assets.checks import (
    BRIDGE_CHECKS,
    MATRIX_CHECKS,
    POINT_IN_TIME,
    RAW_CHECKS,
    REBUILD_CHECKS,
    ROLL_CHECKS,
    STAGING_CHECKS,
    TABLE_CHECK,
    Check,
    CheckResult,
    check_bridge,
    check_matrix,
    check_point_in_time,
    check_raw,
    check_rebuilds,
    check_rolls,
    check_staging,
    check_table,
    failed_upstream,
    keep_results,
    roots_held,
    seed_of,
)
from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.pipeline.metadata import check_metadata, check_severity
from cbi_assets.pipeline.partitions import parse_partition_key, partitions_of
from cbi_assets.pipeline.raw.drive_asset import POOL
from cbi_assets.pipeline.reporting import ASSET_TABLES, table_key, whole_table_evaluation
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.session import Session
from cbi_assets.tables import (
    DAILY_ML_MATRIX,
    MACRO_OBSERVATIONS,
    RAW,
    ROLL_CALENDAR,
    YAHOO_BRIDGE,
    TableSpec,
)


def _as_dagster(result: CheckResult) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=result.passed,
        severity=check_severity(result),
        description=result.check.sentence,
        metadata=check_metadata(result),
    )


def _raw_check(check: Check, timeframe: Timeframe) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table_key(RAW[timeframe].id),
        name=check.name,
        description=check.sentence,
        blocking=check.severity == "ERROR",
        partitions_def=partitions_of((timeframe,)),
        pool=POOL,
    )
    def raw_check(
        context: dg.AssetCheckExecutionContext, project: ProjectResource, clock: Clock
    ) -> dg.AssetCheckResult:
        root, _ = parse_partition_key(context.partition_key)
        with project.session(clock.now()) as session:
            if check in REBUILD_CHECKS.values():
                (result,) = check_rebuilds(session, timeframe, [root])
            else:
                (result,) = check_raw(session, timeframe, [root], checks=[check])
            keep_results(session, [result])
        return _as_dagster(result)

    return raw_check


Run = Callable[[Session], list[CheckResult]]


def _check_matrix(session: Session) -> list[CheckResult]:
    return check_matrix(session, _matrix_roots(session))


def _cut_matrix(session: Session) -> list[CheckResult]:
    failed = sorted(failed_upstream(session.warehouse, session.universe.select()))
    return check_point_in_time(session, _matrix_roots(session), seed_of(session.now), failed)


def _matrix_roots(session: Session) -> list[str]:
    return list(roots_held(session.warehouse, DAILY_ML_MATRIX.id, "symbol"))


def _check_rolls(session: Session) -> list[CheckResult]:
    return check_rolls(session, list(roots_held(session.warehouse, ROLL_CALENDAR.id)))


_WHOLE: list[tuple[TableSpec, Sequence[Check], Run]] = [
    (DAILY_ML_MATRIX, MATRIX_CHECKS, _check_matrix),
    (DAILY_ML_MATRIX, [POINT_IN_TIME], _cut_matrix),
    (ROLL_CALENDAR, ROLL_CHECKS, _check_rolls),
    (MACRO_OBSERVATIONS, STAGING_CHECKS, check_staging),
    (YAHOO_BRIDGE, BRIDGE_CHECKS, check_bridge),
]
"""Checks on tables without partitions, and what runs them."""


def _whole_table_check(spec: TableSpec, check: Check, run: Run) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table_key(spec.id),
        name=check.name,
        description=check.sentence,
        blocking=check.severity == "ERROR",
        pool=POOL,
    )
    def whole_table_check(
        context: dg.AssetCheckExecutionContext, project: ProjectResource, clock: Clock
    ) -> dg.AssetCheckResult:
        with project.session(clock.now()) as session:
            results = [r for r in run(session) if r.check == check]
            keep_results(session, results)
        told = whole_table_evaluation(table_key(spec.id), check, results)
        return dg.AssetCheckResult(
            passed=told.passed,
            severity=told.severity,
            description=told.description,
            metadata=told.metadata,
        )

    return whole_table_check


def _table_check(spec: TableSpec) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table_key(spec.id),
        name=TABLE_CHECK.name,
        description=TABLE_CHECK.sentence,
        blocking=True,
        pool=POOL,
    )
    def table_check(
        context: dg.AssetCheckExecutionContext, project: ProjectResource, clock: Clock
    ) -> dg.AssetCheckResult:
        with project.session(clock.now()) as session:
            result = check_table(session, spec)
            keep_results(session, [result])
        return _as_dagster(result)

    return table_check


ALL_CHECKS = [
    *(_table_check(spec) for spec in ASSET_TABLES.values()),
    *(_raw_check(check, timeframe) for timeframe in TIMEFRAMES for check in RAW_CHECKS),
    *(_raw_check(check, timeframe) for timeframe, check in REBUILD_CHECKS.items()),
    *(_whole_table_check(spec, check, run) for spec, checks, run in _WHOLE for check in checks),
]
