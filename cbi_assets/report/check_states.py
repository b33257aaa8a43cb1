"""Summarize the checks: each with its last result, and all of them over time."""

from __future__ import annotations

import datetime as dt
from typing import Final

import polars as pl

from cbi_assets.checks import CHECKS
from cbi_assets.tables import RAW

HISTORY_RUNS: Final = 60
"""How many runs of checks the audit shows."""

_CHECK = ["table", "name"]


def checks_of(
    results: pl.DataFrame, newest: pl.DataFrame, staging_loaded_at: dt.datetime | None
) -> pl.DataFrame:
    """Return every check, and every other that has a result: state, counts, failing partitions.

    `state` is passes, warns, fails or not run. `stale` says that bars of a checked partition (or
    anything, for a table that is not raw) were loaded after the check ran. `results` is
    ops.check_results, `newest` is `newest_bars`' frame, and `staging_loaded_at` the time of
    staging's newest load.
    """
    listed = pl.DataFrame(
        [(check.table.id, check.name, check.sentence, check.severity) for check in CHECKS],
        schema=[*_CHECK, "sentence", "severity"],
        orient="row",
    )
    is_bad, partition = ~pl.col("passed"), pl.col("partition_key").alias("partition")
    loaded_at = newest.select(
        table=pl.col("timeframe").replace_strict({t: spec.id for t, spec in RAW.items()}),
        partition_key=pl.concat_str("root", pl.lit("|"), "timeframe"),
        bars_loaded_at="loaded_at",
    )
    newest_load = max(
        (time for time in (newest["loaded_at"].max(), staging_loaded_at) if time), default=None
    )
    is_raw = pl.col("table").is_in([spec.id for spec in RAW.values()])
    last = (
        results.rename({"table_id": "table", "check_name": "name"})
        .join(loaded_at, on=["table", "partition_key"], how="left")
        .with_columns(
            loaded_at=pl.when(is_raw).then("bars_loaded_at").otherwise(pl.lit(newest_load))
        )
        .sort(*_CHECK, "partition_key")
        .group_by(_CHECK, maintain_order=True)
        .agg(
            result_severity=pl.col("severity").first(),
            partitions=pl.len(),
            failed=is_bad.sum(),
            checked_at=pl.col("checked_at").min(),
            stale=(pl.col("checked_at") < pl.col("loaded_at")).any(),
            offenders=pl.struct(partition, "expected", "actual", "sample", "sql").filter(is_bad),
        )
    )
    return (
        listed.join(last, on=_CHECK, how="full", coalesce=True, maintain_order="left_right")
        .with_columns(
            pl.col("sentence").fill_null(""),
            pl.col("partitions", "failed").fill_null(0),
            pl.col("offenders").fill_null([]),
            severity=pl.coalesce("severity", "result_severity"),
        )
        .with_columns(
            state=pl.when(partitions=0).then(pl.lit("not run"))
            .when(failed=0).then(pl.lit("passes"))
            .when(severity="ERROR").then(pl.lit("fails"))
            .otherwise(pl.lit("warns")),
            stale=pl.col("stale").fill_null(False),
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


def runs_of(history: pl.DataFrame) -> pl.DataFrame:
    """Return the state of each check after each of its last HISTORY_RUNS runs, oldest first."""
    is_shown = pl.int_range(pl.len()).reverse().over(_CHECK) < HISTORY_RUNS
    return _states(history).filter(is_shown)


def _states(history: pl.DataFrame) -> pl.DataFrame:
    bad = pl.when(severity="ERROR").then(pl.lit("fails")).otherwise(pl.lit("warns"))
    return history.select(
        pl.col("table_id").alias("table"),
        pl.col("check_name").alias("name"),
        pl.col("checked_at").alias("at"),
        pl.when(pl.col("failed") > 0).then(bad).otherwise(pl.lit("passes")).alias("state"),
        "failed",
        "partitions",
    )


def incidents_of(history: pl.DataFrame, loads: pl.DataFrame) -> pl.DataFrame:
    """Return every check that does not pass: since when, and the loads just before that.

    `since` is the first run of the present streak, `last_passed` the run before it, null if there
    is none. `loads` are those after `last_passed` and not after `since`: of the table's timeframe,
    or of any if the table is not raw.
    """
    timeframes = {spec.id: timeframe for timeframe, spec in RAW.items()}
    passed_at = pl.col("at").filter(state="passes").max()
    open_ = (
        _states(history)
        .group_by(_CHECK, maintain_order=True)
        .agg(
            pl.col("state").last(),
            last_passed=passed_at,
            since=pl.col("at").filter((pl.col("at") > passed_at) | passed_at.is_null()).min(),
        )
        .filter(pl.col("state") != "passes")
        .with_columns(
            timeframe=pl.col("table").replace_strict(
                timeframes, default=None, return_dtype=pl.String
            )
        )
    )
    is_between = (pl.col("loaded_at") <= pl.col("since")) & (
        pl.col("last_passed").is_null() | (pl.col("loaded_at") > pl.col("last_passed"))
    )
    is_of_table = pl.col("timeframe").is_null() | (pl.col("timeframe") == pl.col("of"))
    before = (
        open_.join(loads.rename({"timeframe": "of"}), how="cross")
        .filter(is_between, is_of_table)
        .group_by(_CHECK)
        .agg(pl.struct("load_id", "loaded_at", "files", "published").alias("loads"))
    )
    return open_.join(before, on=_CHECK, how="left", maintain_order="left").select(
        *_CHECK, "state", "since", "last_passed", pl.col("loads").fill_null([])
    )
