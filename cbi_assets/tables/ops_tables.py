"""The ledger: files, loads, records set aside, check results, costs."""

from __future__ import annotations

from typing import Final

from cbi_assets.tables.spec import NATIVE, Column, TableSpec, struct

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
    Column("open", "FLOAT64", "first trade of the bar", unit=NATIVE),
    Column("high", "FLOAT64", "highest trade of the bar", unit=NATIVE),
    Column("low", "FLOAT64", "lowest trade of the bar", unit=NATIVE),
    Column("close", "FLOAT64", "last trade of the bar", unit=NATIVE),
    Column("volume", "INT64", "contracts traded in the bar", unit="contracts"),
    Column("instrument_id", "INT64", "the vendor's instrument id"),
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
        struct("version", "the version that was not published", _VERSION),
        struct("published", "the published version", _VERSION),
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

CHECK_HISTORY = TableSpec(
    dataset="ops",
    name="check_history",
    description="How each check of each table stood after every run of it: rows are added, so that "
    "the audit can show it over time.",
    columns=(
        Column("checked_at", "TIMESTAMP", "when", unit="UTC"),
        Column("table_id", "STRING", "the table"),
        Column("check_name", "STRING", "the check"),
        Column("severity", "STRING", "ERROR or WARN"),
        Column("partitions", "INT64", "partitions with a result, those not run now included"),
        Column("failed", "INT64", "of them, those that did not hold"),
    ),
    key=("table_id", "check_name", "checked_at"),
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

LEDGER: Final = (
    SOURCE_FILES,
    LOADS,
    QUARANTINED_BARS,
    BAR_CONFLICTS,
    CHECK_RESULTS,
    CHECK_HISTORY,
    LOAD_COSTS,
)
