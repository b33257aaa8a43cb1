"""Summarize the checks: each with its last result, and all of them over time."""

from __future__ import annotations

from typing import Final

import polars as pl

from cbi_assets.checks import CHECKS
from cbi_assets.tables import RAW

HISTORY_RUNS: Final = 60
"""How many runs of checks the audit shows."""

_CHECK = ["table", "name"]


def checks_of(results: pl.DataFrame, loads: pl.DataFrame) -> pl.DataFrame:
    """Return every check, and every other that has a result: state, counts, failing partitions.

    `state` is passes, warns, fails or not run. `stale` says that bars of the table (of any table,
    for one that is not raw) were loaded after the check ran. `results` is ops.check_results.
    """
    listed = pl.DataFrame(
        [(check.table.id, check.name, check.sentence, check.severity) for check in CHECKS],
        schema=[*_CHECK, "sentence", "severity"],
        orient="row",
    )
    is_bad, partition = ~pl.col("passed"), pl.col("partition_key").alias("partition")
    last = (
        results.rename({"table_id": "table", "check_name": "name"})
        .sort(*_CHECK, "partition_key")
        .group_by(_CHECK, maintain_order=True)
        .agg(
            result_severity=pl.col("severity").first(),
            partitions=pl.len(),
            failed=is_bad.sum(),
            checked_at=pl.col("checked_at").min(),
            offenders=pl.struct(partition, "expected", "actual").filter(is_bad),
        )
    )
    loaded_at = {
        spec.id: loads.filter(pl.col("timeframe") == timeframe)["loaded_at"].max()
        for timeframe, spec in RAW.items()
    }
    return (
        listed.join(last, on=_CHECK, how="full", coalesce=True, maintain_order="left_right")
        .with_columns(
            pl.col("sentence").fill_null(""),
            pl.col("partitions", "failed").fill_null(0),
            pl.col("offenders").fill_null([]),
            severity=pl.coalesce("severity", "result_severity"),
            loaded_at=pl.col("table").replace_strict(
                loaded_at, default=loads["loaded_at"].max(), return_dtype=loads.schema["loaded_at"]
            ),
        )
        .with_columns(
            state=pl.when(partitions=0).then(pl.lit("not run"))
            .when(failed=0).then(pl.lit("passes"))
            .when(severity="ERROR").then(pl.lit("fails"))
            .otherwise(pl.lit("warns")),
            stale=(pl.col("checked_at") < pl.col("loaded_at")).fill_null(False),
        )
        .select(*_CHECK, "sentence", "severity", "state", "partitions", "failed", "checked_at",
                "stale", "offenders")
    )  # fmt: skip


def history_of(history: pl.DataFrame) -> pl.DataFrame:
    """Return the state of all checks after each of the last HISTORY_RUNS runs.

    `history` is ops.check_history in order of time. A check that a run left out keeps the result
    it had. Returns at, failed (of severity ERROR), warned, partitions.
    """
    counts = ["failed", "warned", "partitions"]
    before = pl.col(counts).shift(1, fill_value=0).over("table_id", "check_name")
    return (
        history.with_columns(
            failed=pl.when(severity="ERROR").then("failed").otherwise(0),
            warned=pl.when(severity="WARN").then("failed").otherwise(0),
        )
        .with_columns(pl.col(counts) - before)
        .group_by(pl.col("checked_at").alias("at"), maintain_order=True)
        .agg(pl.col(counts).sum())
        .with_columns(pl.col(counts).cum_sum())
        .tail(HISTORY_RUNS)
    )
