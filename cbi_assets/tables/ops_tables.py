"""The ledger: files, loads, quarantined and conflicting bars, check results, costs."""

from __future__ import annotations

from typing import Final

from cbi_assets.tables.spec import NATIVE, Column, TableSpec, struct

SOURCE_FILES = TableSpec(
    dataset="ops",
    name="source_files",
    description="One row per file whose bars were loaded; its id is the sha256 of its bytes.",
    columns=(
        Column("id", "STRING", "sha256 of the file's bytes"),
        Column("path", "STRING", "path on the drive; after !/ inside a zip"),
        Column("job_id", "STRING", "the vendor's batch job", required=False),
        Column("dataset", "STRING", "the vendor's dataset", required=False),
        Column("schema", "STRING", "ohlcv-1d, ohlcv-1h or ohlcv-1m"),
        Column("encoding", "STRING", "dbn, json, csv or parquet"),
        Column("compression", "STRING", "none or zstd"),
        Column("bytes", "INT64", "file size", unit="bytes"),
        Column("records", "INT64", "records read"),
        Column("outside_universe", "INT64", "records of roots outside the universe"),
        Column("not_loaded", "INT64", "records of roots in the universe that are not loaded yet"),
        Column("first_ts_event", "TIMESTAMP", "start of the first bar", required=False, unit="UTC"),
        Column("last_ts_event", "TIMESTAMP", "start of the last bar", required=False, unit="UTC"),
        Column("symbols", "ARRAY<STRING>", "the vendor's symbols in the file", required=False),
        Column("status", "STRING", "loaded, or partial while a partition of it is not loaded"),
        Column(
            "trust",
            "STRING",
            "verified by its job's manifest, unverified without one, refused since its load",
            required=False,
        ),
        Column(
            "covers_from",
            "TIMESTAMP",
            "start of the range that was requested, by a DBN header or metadata.json",
            required=False,
            unit="UTC",
        ),
        Column("covers_to", "TIMESTAMP", "its end, exclusive", required=False, unit="UTC"),
    ),
    key=("id",),
)

ACCEPTANCES = TableSpec(
    dataset="ops",
    name="acceptances",
    description="Who took which files of a job with a damaged manifest as they are, and why. Rows "
    "are added, never changed.",
    columns=(
        Column("acceptance_id", "STRING", "one per `cbi accept`"),
        Column("file_id", "STRING", "sha256 of the file's bytes; the path of a manifest without"),
        Column("path", "STRING", "path on the drive; after !/ inside a zip"),
        Column("job_id", "STRING", "the vendor's batch job", required=False),
        Column("overruled", "STRING", "why the file was refused"),
        Column("accepted_by", "STRING", "the person"),
        Column("why", "STRING", "the person's reason"),
        Column("accepted_at", "TIMESTAMP", "when it was accepted", unit="UTC"),
    ),
    key=("acceptance_id", "file_id"),
)

LOADS = TableSpec(
    dataset="ops",
    name="loads",
    description="The books: outcome of each file's records, one row per file, timeframe and root. "
    "records = published + duplicates + quarantined + conflicts + reopened.",
    columns=(
        Column("load_id", "STRING", "the load"),
        Column("source_file_id", "STRING", "the file"),
        Column("timeframe", "STRING", "1d, 1h or 1m"),
        Column("root", "STRING", "root; empty for records without one"),
        Column("records", "INT64", "records read"),
        Column("published", "INT64", "bars published from these records"),
        Column("duplicates", "INT64", "records equal to a published bar, dropped"),
        Column("quarantined", "INT64", "invalid records, in ops.quarantined_bars"),
        Column(
            "conflicts", "INT64", "records that differ from the published bar, in ops.bar_conflicts"
        ),
        Column(
            "reopened",
            "INT64",
            "duplicates and conflicts whose published bar was unloaded; audited by the next load",
        ),
        Column("job_id", "STRING", "the vendor's batch job", required=False),
        Column("first_ts_event", "TIMESTAMP", "start of the first bar", required=False, unit="UTC"),
        Column("last_ts_event", "TIMESTAMP", "start of the last bar", required=False, unit="UTC"),
        Column("loaded_at", "TIMESTAMP", "when it was published", unit="UTC"),
        Column(
            "named_by",
            "STRING",
            "newest later load that changed the contract of some of these bars, because sources "
            "named an instrument",
            required=False,
        ),
    ),
    key=("source_file_id", "timeframe", "root"),
)

QUARANTINED_BARS = TableSpec(
    dataset="ops",
    name="quarantined_bars",
    description="Records that are not valid bars, as read, with the reason.",
    columns=(
        Column("load_id", "STRING", "the load"),
        Column("source_file_id", "STRING", "the file"),
        Column("record_no", "INT64", "line of a text file, else the record's number from 1"),
        Column("timeframe", "STRING", "1d, 1h or 1m"),
        Column("root", "STRING", "root; empty if the record has none"),
        Column("symbol", "STRING", "symbol; empty if the record has none"),
        Column("ts_event", "TIMESTAMP", "start of the bar", required=False, unit="UTC"),
        Column("record", "STRING", "the record as read, its first 4,000 characters"),
        Column("reason", "STRING", "why it is not a valid bar"),
        Column("loaded_at", "TIMESTAMP", "when it was quarantined", unit="UTC"),
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
    description="Both versions of bars that differ from the published one of the same key.",
    columns=(
        Column("load_id", "STRING", "the load"),
        Column("timeframe", "STRING", "1d, 1h or 1m"),
        Column("root", "STRING", "root"),
        Column("symbol", "STRING", "symbol"),
        Column("ts_event", "TIMESTAMP", "start of the bar", unit="UTC"),
        Column("source_file_id", "STRING", "file of the unpublished version"),
        Column("record_no", "INT64", "its record in that file"),
        Column("published_file_id", "STRING", "file of the published version"),
        struct("version", "the unpublished version", _VERSION),
        struct("published", "the published version", _VERSION),
        Column("loaded_at", "TIMESTAMP", "when the conflict was found", unit="UTC"),
    ),
    key=("source_file_id", "record_no"),
)

CHECK_RESULTS = TableSpec(
    dataset="ops",
    name="check_results",
    description="The latest result of every check, by table and partition.",
    columns=(
        Column("table_id", "STRING", "the table"),
        Column("check_name", "STRING", "the check"),
        Column("partition_key", "STRING", "root and timeframe (ZL|1h); empty for the whole table"),
        Column("passed", "BOOL", "whether the check passed"),
        Column("severity", "STRING", "ERROR or WARN"),
        Column("expected", "STRING", "what the check expects"),
        Column("actual", "STRING", "what the check found"),
        Column("checked_at", "TIMESTAMP", "when the check ran", unit="UTC"),
        Column("sample", "STRING", "up to 20 offenders as JSON; NULL if it passed", required=False),
        Column("sql", "STRING", "query of the offenders; NULL if it passed", required=False),
    ),
    key=("table_id", "check_name", "partition_key"),
)

CHECK_SLICES = TableSpec(
    dataset="ops",
    name="check_slices",
    description="What the checks of a raw table found in each month of each root. It stands until "
    "the ledger says something else of the month's bars, or a rule changes.",
    columns=(
        Column("table_id", "STRING", "the table; of a comparison, both"),
        Column("root", "STRING", "root"),
        Column("month", "DATE", "first day of the month, by ts_event in UTC"),
        Column("rule", "STRING", "hash of the rules"),
        Column("ledger", "STRING", "hash of what ops.loads said of the bars"),
        Column("content", "STRING", "hash of the bars"),
        Column("bars", "INT64", "number of bars"),
        Column("first_ts_event", "TIMESTAMP", "start of the first bar", required=False, unit="UTC"),
        Column("last_ts_event", "TIMESTAMP", "start of the last bar", required=False, unit="UTC"),
        Column("passed", "BOOL", "whether no check found an offender"),
        Column("offenders", "INT64", "offenders of all checks"),
        Column("findings", "STRING", "offenders and a sample of them, by check, as JSON"),
        Column("symbols", "STRING", "the vendor's symbols, as JSON"),
        Column("files", "STRING", "dataset, file and bars, as JSON"),
        Column("days", "STRING", "trade dates as days of the month, by series, as JSON"),
        Column("checked_at", "TIMESTAMP", "when the checks ran", unit="UTC"),
        Column(
            "closes",
            "STRING",
            "by trade date, as a day of the month: bars, and volume and close of the most traded "
            "symbol, as JSON",
            required=False,
        ),
        Column(
            "published",
            "STRING",
            "dataset, series, trade date and UTC day as days of the month, and bars, of outrights "
            "(one series) and continuous symbols, as JSON",
            required=False,
        ),
    ),
    key=("table_id", "root", "month"),
)

BUILD_SLICES = TableSpec(
    dataset="ops",
    name="build_slices",
    description="What each built table was built from, by root and month. A month stands until the "
    "ledger says something else of its bars, or a rule changes.",
    columns=(
        Column("table_id", "STRING", "the built table; the matrix for all that is built with it"),
        Column("root", "STRING", "root"),
        Column("month", "DATE", "first day of the month, by ts_event in UTC"),
        Column("rule", "STRING", "hash of the rules"),
        Column("ledger", "STRING", "hash of what ops.loads said of the bars"),
        Column(
            "state",
            "STRING",
            "as JSON: of the matrix, what the rows after the month depend on; of training tables "
            "of bars, how many rows each trade date has, and of these with a target, or by reason "
            "without",
            required=False,
        ),
    ),
    key=("table_id", "root", "month"),
)

CHECK_HISTORY = TableSpec(
    dataset="ops",
    name="check_history",
    description="The state of each check after each of its runs, for the audit's history. Rows are "
    "only added.",
    columns=(
        Column("checked_at", "TIMESTAMP", "when the check ran", unit="UTC"),
        Column("table_id", "STRING", "the table"),
        Column("check_name", "STRING", "the check"),
        Column("severity", "STRING", "ERROR or WARN"),
        Column("partitions", "INT64", "partitions with a result, including those of earlier runs"),
        Column("failed", "INT64", "partitions that failed"),
    ),
    key=("table_id", "check_name", "checked_at"),
)

LOAD_COSTS = TableSpec(
    dataset="ops",
    name="load_costs",
    description="Cost of each load if the warehouse bills: jobs, bytes and slot time, from staging "
    "through the checks after the load.",
    columns=(
        Column("load_id", "STRING", "the load"),
        Column("jobs", "INT64", "jobs run"),
        Column("bytes_uploaded", "INT64", "uploaded to staging", unit="bytes"),
        Column("bytes_billed", "INT64", "billed for queries", unit="bytes"),
        Column("slot_ms", "INT64", "slot time used", unit="ms"),
        Column("recorded_at", "TIMESTAMP", "when the row was written", unit="UTC"),
    ),
    key=("load_id",),
)

LEDGER_VERSION = TableSpec(
    dataset="ops",
    name="ledger_version",
    description="One row: a version that every publication increments. A publication that started "
    "from an older version fails, so two concurrent loads cannot publish the same bars.",
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
    CHECK_SLICES,
    BUILD_SLICES,
    CHECK_HISTORY,
    LOAD_COSTS,
)
