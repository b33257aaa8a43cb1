"""Make a Dagster check of each check for each table it fits.

Partitioned asset checks are a preview of Dagster's; this is the one module that defines them.
"""

import dagster as dg

from cbi_assets.checks import (
    MATRIX_CHECKS,
    RAW_CHECKS,
    TABLE_CHECK,
    Check,
    CheckResult,
    check_matrix,
    check_raw,
    check_table,
    keep_results,
    roots_held,
)
from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.pipeline.assets.drive import POOL
from cbi_assets.pipeline.assets.features import MATRIX_KEY
from cbi_assets.pipeline.metadata import check_metadata, check_severity
from cbi_assets.pipeline.partitions import parse_partition_key, partitions_of
from cbi_assets.pipeline.reporting import table_key, whole_table_evaluation
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.warehouse.tables import DAILY_ML_MATRIX, RAW, TableSpec


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
        opened = project.get()
        with opened.hold(told=context.log.info), opened.open_warehouse() as warehouse:
            (result,) = check_raw(opened, warehouse, timeframe, [root], clock.now(), checks=[check])
            keep_results(warehouse, [result], clock.now())
        return _as_dagster(result)

    return raw_check


def _matrix_check(check: Check) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=MATRIX_KEY, name=check.name, description=check.sentence, blocking=True, pool=POOL
    )
    def matrix_check(
        context: dg.AssetCheckExecutionContext, project: ProjectResource, clock: Clock
    ) -> dg.AssetCheckResult:
        opened = project.get()
        with opened.hold(told=context.log.info), opened.open_warehouse() as warehouse:
            roots = list(roots_held(warehouse, DAILY_ML_MATRIX.id, "symbol"))
            results = [r for r in check_matrix(warehouse, roots) if r.check == check]
            keep_results(warehouse, results, clock.now())
        told = whole_table_evaluation(MATRIX_KEY, check, results)
        return dg.AssetCheckResult(
            passed=told.passed,
            severity=told.severity,
            description=told.description,
            metadata=told.metadata,
        )

    return matrix_check


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
        opened = project.get()
        with opened.hold(told=context.log.info), opened.open_warehouse() as warehouse:
            result = check_table(warehouse, spec)
            keep_results(warehouse, [result], clock.now())
        return _as_dagster(result)

    return table_check


ALL_CHECKS = [
    *(_table_check(spec) for spec in (*RAW.values(), DAILY_ML_MATRIX)),
    *(_raw_check(check, timeframe) for timeframe in TIMEFRAMES for check in RAW_CHECKS),
    *(_matrix_check(check) for check in MATRIX_CHECKS),
]
