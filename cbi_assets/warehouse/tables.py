"""Every table of the project, each written down once.

A TableSpec gives a table's DDL, its frames' schema, Dagster's column metadata and the checks'
keys. Types are BigQuery's; the DuckDB ones are translated from them.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from sqlglot import exp

from cbi_assets.market.bars import TIMEFRAMES, Timeframe


@dataclass(frozen=True)
class Column:
    """One column. `type` is GoogleSQL; `unit` is shown where a number has one."""

    name: str
    type: str
    description: str
    required: bool = True
    unit: str | None = None


@dataclass(frozen=True)
class TableSpec:
    """One table: `dataset.name`, its key, MONTH partition column and clustering.

    `seed` is a query for the row that a new table starts with, in the table's columns.
    """

    dataset: str
    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition_by: str | None = None
    cluster_by: tuple[str, ...] = ()
    seed: str | None = None

    @property
    def id(self) -> str:
        """`dataset.name`, as SQL writes it between backticks."""
        return f"{self.dataset}.{self.name}"

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns, in the table's order."""
        return tuple(column.name for column in self.columns)

    @property
    def fingerprint(self) -> str:
        """Of the statement that creates the table; a live table is labelled with it."""
        text = self._create_statement("")
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def labels(self) -> dict[str, str]:
        """The table's labels in BigQuery."""
        return {"tool": "cbi_assets", "spec": self.fingerprint}

    def create_statement(self) -> str:
        """`CREATE TABLE IF NOT EXISTS` in GoogleSQL: MONTH partitions, clustered, no expiration,
        the key as a constraint that is not enforced."""
        labels = ", ".join(f"('{name}', '{value}')" for name, value in self.labels.items())
        return self._create_statement(f", labels=[{labels}]")

    def fill_statements(self) -> list[str]:
        """What gives a new table its first row, where it has one; again, it does nothing."""
        if self.seed is None:
            return []
        names = ", ".join(self.column_names)
        return [
            f"INSERT INTO `{self.id}` ({names}) SELECT {names} FROM ({self.seed}) AS seed "
            f"WHERE NOT EXISTS (SELECT 1 FROM `{self.id}`)"
        ]

    def add_statement(self, column: Column) -> str:
        """`ALTER TABLE … ADD COLUMN`; a live table takes a column as NULLABLE only."""
        return f"ALTER TABLE `{self.id}` ADD COLUMN IF NOT EXISTS {_defined(column, False)}"

    def _create_statement(self, more_options: str) -> str:
        lines = ",\n  ".join(_defined(column, column.required) for column in self.columns)
        statement = (
            f"CREATE TABLE IF NOT EXISTS `{self.id}` (\n  {lines},\n"
            f"  PRIMARY KEY ({', '.join(self.key)}) NOT ENFORCED\n)"
        )
        if self.partition_by:
            kind = next(c.type for c in self.columns if c.name == self.partition_by)
            trunc = "DATE_TRUNC" if kind == "DATE" else "TIMESTAMP_TRUNC"
            statement += f"\nPARTITION BY {trunc}({self.partition_by}, MONTH)"
        if self.cluster_by:
            statement += f"\nCLUSTER BY {', '.join(self.cluster_by)}"
        return statement + f"\nOPTIONS (description={_quoted(self.description)}{more_options})"


@cache
def canonical_type(text: str, dialect: str = "bigquery") -> str:
    """A type as GoogleSQL writes it, from the words of GoogleSQL or another dialect."""
    kind = exp.DataType.build(text, dialect=dialect)
    for name in kind.find_all(exp.Identifier):
        name.set("quoted", False)
    return kind.sql("bigquery")


def plain_id(name: str) -> str:
    """The name, if it may be a table's id. Raises ValueError: a `$` would name a partition."""
    if not re.fullmatch(r"[A-Za-z0-9_]{1,1024}", name):
        raise ValueError(f"{name!r} is no table's id: letters, digits and _ only")
    return name


def _defined(column: Column, required: bool) -> str:
    return (
        f"{column.name} {column.type}{' NOT NULL' if required else ''}"
        f" OPTIONS (description={_quoted(_described(column))})"
    )


def _described(column: Column) -> str:
    return f"{column.description} ({column.unit})" if column.unit else column.description


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


_NATIVE = "native units of the root"

_BAR_COLUMNS: Final = (
    Column("ts_event", "TIMESTAMP", "start of the bar", unit="UTC"),
    Column("trade_date", "DATE", "exchange trade date that the bar belongs to"),
    Column("root", "STRING", "product root, e.g. ZL"),
    Column("symbol", "STRING", "the vendor's symbol, e.g. ZL.v.0 or ZLZ5"),
    Column("kind", "STRING", "outright, spread, continuous or other"),
    Column("contract", "STRING", "outright with a four-digit year, e.g. ZLZ2025", required=False),
    Column("instrument_id", "INT64", "the vendor's instrument id, unique within a UTC day"),
    Column("publisher_id", "INT64", "the vendor's publisher id"),
    Column("open", "FLOAT64", "first trade of the bar", required=False, unit=_NATIVE),
    Column("high", "FLOAT64", "highest trade of the bar", required=False, unit=_NATIVE),
    Column("low", "FLOAT64", "lowest trade of the bar", required=False, unit=_NATIVE),
    Column("close", "FLOAT64", "last trade of the bar", required=False, unit=_NATIVE),
    Column("volume", "INT64", "contracts traded in the bar", unit="contracts"),
    Column("dataset", "STRING", "the vendor's dataset, GLBX.MDP3"),
    Column("source_file_id", "STRING", "sha256 of the file that the bar was read from"),
    Column("load_id", "STRING", "load that published the bar"),
    Column("loaded_at", "TIMESTAMP", "when it was published", unit="UTC"),
)

_MEANING: Final[dict[Timeframe, str]] = {
    "1d": "one bar a UTC day (not the exchange's session)",
    "1h": "one bar an hour",
    "1m": "one bar a minute",
}

RAW: Final[dict[Timeframe, TableSpec]] = {
    timeframe: TableSpec(
        dataset="market_data",
        name=f"databento_futures_ohlcv_{timeframe}",
        description=f"Databento ohlcv-{timeframe} as delivered: {_MEANING[timeframe]}, "
        "no bar without a trade; outrights, spreads and continuous symbols side by side.",
        columns=_BAR_COLUMNS,
        key=("symbol", "ts_event"),
        partition_by="ts_event",
        cluster_by=("root", "symbol"),
    )
    for timeframe in TIMEFRAMES
}
"""The raw tables, by timeframe."""

SOURCE_FILES = TableSpec(
    dataset="ops",
    name="source_files",
    description="One row a file whose bars were loaded; its id is the sha256 of its bytes.",
    columns=(
        Column("id", "STRING", "sha256 of the file's bytes"),
        Column("path", "STRING", "path on the drive, or inside a zip after !/"),
        Column("job_id", "STRING", "the vendor's batch job", required=False),
        Column("dataset", "STRING", "the vendor's dataset", required=False),
        Column("schema", "STRING", "ohlcv-1d, ohlcv-1h or ohlcv-1m"),
        Column("encoding", "STRING", "dbn, json, csv or parquet"),
        Column("compression", "STRING", "none or zstd"),
        Column("bytes", "INT64", "size", unit="bytes"),
        Column("records", "INT64", "records read"),
        Column("outside_universe", "INT64", "records of roots outside the universe"),
        Column("not_loaded", "INT64", "records of the universe that are not loaded yet"),
        Column("first_ts_event", "TIMESTAMP", "first bar", required=False, unit="UTC"),
        Column("last_ts_event", "TIMESTAMP", "last bar", required=False, unit="UTC"),
        Column("symbols", "ARRAY<STRING>", "the vendor's symbols in it", required=False),
        Column("status", "STRING", "loaded, or partial while some partition of it is not"),
    ),
    key=("id",),
)

LOADS = TableSpec(
    dataset="ops",
    name="loads",
    description="The books: what became of each file's records, by file, timeframe and root. "
    "records = published + duplicates + quarantined + conflicts + reopened.",
    columns=(
        Column("load_id", "STRING", "the load"),
        Column("source_file_id", "STRING", "the file"),
        Column("timeframe", "STRING", "1d, 1h or 1m"),
        Column("root", "STRING", "root; empty for records that name none"),
        Column("records", "INT64", "records read"),
        Column("published", "INT64", "bars of the raw table that came from here"),
        Column("duplicates", "INT64", "dropped, identical to a published bar"),
        Column("quarantined", "INT64", "malformed, in quarantined_bars"),
        Column("conflicts", "INT64", "at odds with a published bar, in bar_conflicts"),
        Column(
            "reopened", "INT64", "lost their published twin to an unload; open until the next load"
        ),
        Column("job_id", "STRING", "the vendor's batch job", required=False),
        Column("first_ts_event", "TIMESTAMP", "first record", required=False, unit="UTC"),
        Column("last_ts_event", "TIMESTAMP", "last record", required=False, unit="UTC"),
        Column("loaded_at", "TIMESTAMP", "when it was published", unit="UTC"),
    ),
    key=("source_file_id", "timeframe", "root"),
)

QUARANTINED_BARS = TableSpec(
    dataset="ops",
    name="quarantined_bars",
    description="Records that are no sound bars, as they were read, and why.",
    columns=(
        Column("load_id", "STRING", "the load"),
        Column("source_file_id", "STRING", "the file"),
        Column("record_no", "INT64", "line of a text file, else the record's place from 1"),
        Column("timeframe", "STRING", "1d, 1h or 1m"),
        Column("root", "STRING", "root; empty where the record names none"),
        Column("symbol", "STRING", "symbol; empty where the record names none"),
        Column("ts_event", "TIMESTAMP", "start of the bar", required=False, unit="UTC"),
        Column("record", "STRING", "the record as it was read"),
        Column("reason", "STRING", "why it is no sound bar"),
        Column("loaded_at", "TIMESTAMP", "when it was set aside", unit="UTC"),
    ),
    key=("source_file_id", "record_no"),
)

_VERSION: Final = (
    "STRUCT<open FLOAT64, high FLOAT64, low FLOAT64, close FLOAT64, volume INT64, "
    "instrument_id INT64>"
)

BAR_CONFLICTS = TableSpec(
    dataset="ops",
    name="bar_conflicts",
    description="Bars that disagree with the published bar of the same symbol and start.",
    columns=(
        Column("load_id", "STRING", "the load"),
        Column("timeframe", "STRING", "1d, 1h or 1m"),
        Column("root", "STRING", "root"),
        Column("symbol", "STRING", "symbol"),
        Column("ts_event", "TIMESTAMP", "start of the bar", unit="UTC"),
        Column("source_file_id", "STRING", "file of the version that was not published"),
        Column("record_no", "INT64", "its record there"),
        Column("published_file_id", "STRING", "file of the published version"),
        Column("version", _VERSION, "the version that was not published"),
        Column("published", _VERSION, "the published version"),
        Column("loaded_at", "TIMESTAMP", "when it came up", unit="UTC"),
    ),
    key=("source_file_id", "record_no"),
)

CHECK_RESULTS = TableSpec(
    dataset="ops",
    name="check_results",
    description="Every check's last result, by table and partition.",
    columns=(
        Column("table_id", "STRING", "the table"),
        Column("check_name", "STRING", "the check"),
        Column("partition_key", "STRING", "symbol and timeframe (ZL|1h), empty for a whole table"),
        Column("passed", "BOOL", "whether it held"),
        Column("severity", "STRING", "ERROR or WARN"),
        Column("expected", "STRING", "what it expects"),
        Column("actual", "STRING", "what it found"),
        Column("checked_at", "TIMESTAMP", "when", unit="UTC"),
    ),
    key=("table_id", "check_name", "partition_key"),
)

DAILY_ML_MATRIX = TableSpec(
    dataset="features",
    name="daily_ml_matrix",
    description="One row per root and trade date, known at that session's close.",
    columns=(
        Column("symbol", "STRING", "root"),
        Column("data_date", "DATE", "trade date"),
        Column("timestamp", "TIMESTAMP", "close of the session", unit="UTC"),
        Column(
            "market_data",
            "STRUCT<open FLOAT64, high FLOAT64, low FLOAT64, close FLOAT64, volume INT64, "
            "vwap FLOAT64, realized_vol_1h FLOAT64>",
            "the session's bars of the active contract; vwap of typical prices over 1h bars; "
            "realized_vol_1h = sqrt of the sum of squared 1h log returns, not annualised",
            unit=_NATIVE,
        ),
        Column(
            "pivots",
            "STRUCT<P FLOAT64, R1 FLOAT64, R2 FLOAT64, S1 FLOAT64, S2 FLOAT64, "
            "distance_to_P FLOAT64, distance_to_nearest_pivot FLOAT64, "
            "weekly_pivot_distance FLOAT64, price_above_P BOOL>",
            "floor pivots of the active contract's own prior trade date; NULL where unknown",
            unit=_NATIVE,
        ),
        # a live table takes new columns as NULLABLE only
        Column(
            "fibonacci",
            "STRUCT<swing_high FLOAT64, swing_low FLOAT64, swing_high_date DATE, "
            "swing_low_date DATE, direction STRING, confirmed_on DATE, retrace_236 FLOAT64, "
            "retrace_382 FLOAT64, retrace_50 FLOAT64, retrace_618 FLOAT64, retrace_786 FLOAT64, "
            "ext_1236 FLOAT64, ext_1382 FLOAT64, ext_1618 FLOAT64, ext_200 FLOAT64, "
            "ext_2618 FLOAT64>",
            "levels of the last two swings of a 6% zigzag over the sessions, each known from the "
            "date that confirmed it; NULL before two are",
            required=False,
            unit=_NATIVE,
        ),
        Column(
            "golden_zone",
            "STRUCT<state INT64, swing_high FLOAT64, swing_low FLOAT64, fib_50 FLOAT64, "
            "fib_618 FLOAT64, vol_decay_slope FLOAT64, qualified_trigger BOOL>",
            "of MES' rows: the session's last 1h close against the last confirmed 1h swings (1 "
            "between the 50% and 61.8% retracements, 2 beyond, 0 before), and whether a bar of the "
            "session triggered",
            required=False,
            unit=_NATIVE,
        ),
        Column(
            "crush",
            "STRUCT<board_crush FLOAT64, oil_share FLOAT64>",
            "of ZL's rows, from the closes of ZL, ZM and ZS on the same trade date: board_crush = "
            "2.2 ZM + 11 ZL - ZS; oil_share = 11 ZL / (11 ZL + 2.2 ZM), a fraction; NULL where a "
            "close is missing",
            required=False,
            unit="US cents per bushel",
        ),
        Column(
            "regime",
            "STRUCT<name STRING, weight FLOAT64, vol_percentile FLOAT64, k_vol FLOAT64>",
            "the user's regime on data_date and its weight; vol_percentile = share of the last 252 "
            "values of 20-day volatility that are at most today's, k_vol = today's over their "
            "median within [0.5, 3], both NULL before 252",
            required=False,
        ),
        Column("regime_name", "STRING", "the regime's name", required=False),
        Column(
            "source",
            "STRUCT<price_source STRING, active_contract STRING, roll_rule STRING, "
            "load_ids ARRAY<STRING>>",
            "provenance of the row",
        ),
        Column("ingestion_ts", "TIMESTAMP", "when the row was written", unit="UTC"),
    ),
    key=("symbol", "data_date"),
    partition_by="data_date",
    cluster_by=("symbol",),
)

LOAD_COSTS = TableSpec(
    dataset="ops",
    name="load_costs",
    description="What a load cost where the warehouse bills: jobs, bytes and slot time, from "
    "staging to the checks behind it.",
    columns=(
        Column("load_id", "STRING", "the load"),
        Column("jobs", "INT64", "jobs run"),
        Column("bytes_uploaded", "INT64", "sent into staging", unit="bytes"),
        Column("bytes_billed", "INT64", "billed by queries", unit="bytes"),
        Column("slot_ms", "INT64", "slot time", unit="ms"),
        Column("recorded_at", "TIMESTAMP", "when", unit="UTC"),
    ),
    key=("load_id",),
)

LEDGER_VERSION = TableSpec(
    dataset="ops",
    name="ledger_version",
    description="One row. Every publication raises it by one, and none goes through that started "
    "from an older one: so two loads at once cannot both publish the same bars.",
    columns=(Column("version", "INT64", "publications so far"),),
    key=("version",),
    seed="SELECT 0 AS version",
)

LEDGER: Final = (SOURCE_FILES, LOADS, QUARANTINED_BARS, BAR_CONFLICTS, CHECK_RESULTS, LOAD_COSTS)
ALL_TABLES: Final = (*RAW.values(), *LEDGER, LEDGER_VERSION, DAILY_ML_MATRIX)
