"""The tables of what staging gives: macro observations, the Yahoo bridge, and their books."""

from __future__ import annotations

from typing import Final

from cbi_assets.tables.spec import NATIVE, Column, TableSpec

MACRO_OBSERVATIONS = TableSpec(
    dataset="raw_intelligence",
    name="macro_observations",
    description="Macro, policy, positioning and spot series from staging, row by row from sources "
    "that sources.yaml allows; each value with the instant from which it was known. No prices of "
    "futures.",
    columns=(
        Column("source", "STRING", "source, as sources.yaml calls it"),
        Column("series_id", "STRING", "series of macro.yaml, which has its unit"),
        Column("reference_date", "DATE", "the day, or the first day of the period, it describes"),
        Column("available_at", "TIMESTAMP", "from when it was known", unit="UTC"),
        Column("value", "FLOAT64", "the value", unit="the series' own"),
        Column("source_file_id", "STRING", "sha256 of the staging file"),
        Column("load_id", "STRING", "load that published it"),
    ),
    key=("series_id", "reference_date", "available_at"),
    partition_by="reference_date",
    cluster_by=("series_id",),
)

YAHOO_BRIDGE = TableSpec(
    dataset="market_data",
    name="yahoo_zl_historical_2000_2010",
    description="Yahoo's ZL before 2010-06-06, the only dates for which Yahoo may give a price; "
    "stitched on as sources.yaml says.",
    columns=(
        Column("date", "DATE", "trade date"),
        Column("root", "STRING", "product root"),
        Column("open", "FLOAT64", "NULL where close_only", required=False, unit=NATIVE),
        Column("high", "FLOAT64", "NULL where close_only", required=False, unit=NATIVE),
        Column("low", "FLOAT64", "NULL where close_only", required=False, unit=NATIVE),
        Column("close", "FLOAT64", "the day's close", unit=NATIVE),
        Column("volume", "INT64", "NULL where close_only", required=False, unit="contracts"),
        Column("close_kind", "STRING", "settlement: not the last trade"),
        Column("close_only", "BOOL", "whether only the close is fit to use"),
        Column("scale", "FLOAT64", "what Yahoo's prices were multiplied by"),
        Column("adjustment", "STRING", "how prices were adjusted to the next series: none"),
        Column("source", "STRING", "source, as sources.yaml calls it"),
        Column("source_file_id", "STRING", "sha256 of the staging file"),
        Column("load_id", "STRING", "load that published it"),
        Column("loaded_at", "TIMESTAMP", "when it was published", unit="UTC"),
    ),
    key=("root", "date"),
    partition_by="date",
    cluster_by=("root",),
)

STAGING_FILES = TableSpec(
    dataset="ops",
    name="staging_files",
    description="Staging's files, one row a source in each, with verdict and books: observations = "
    "published + duplicates + refused + conflicts. A wide file's row is an observation a column.",
    columns=(
        Column("file_id", "STRING", "sha256 of the bytes"),
        Column("path", "STRING", "path under staging when it was read"),
        Column("source", "STRING", "source as its rows state it, empty where they state none"),
        Column("layout", "STRING", "what its columns make it: indicators, cot, bridge, prices, …"),
        Column("file_verdict", "STRING", "of the file: loaded, partly, refused, blocked or unread"),
        Column("verdict", "STRING", "of the source's rows in it, in the same words"),
        Column("reason", "STRING", "why rows of the source were not taken; empty where all were"),
        Column("row_count", "INT64", "rows of the source"),
        Column("observations", "INT64", "values of these rows"),
        Column("published", "INT64", "published from this file"),
        Column("duplicates", "INT64", "identical to what is published"),
        Column("refused", "INT64", "refused; listed one by one but where the file is blocked"),
        Column("conflicts", "INT64", "in conflict with another value of the date; listed"),
        Column("rules_hash", "STRING", "of the rules that it was judged by; judged anew by others"),
        Column("load_id", "STRING", "load that judged it"),
        Column("seen_at", "TIMESTAMP", "when these bytes were first seen", unit="UTC"),
        Column("loaded_at", "TIMESTAMP", "when it was judged", unit="UTC"),
    ),
    key=("file_id", "source"),
)

REFUSED_OBSERVATIONS = TableSpec(
    dataset="ops",
    name="refused_observations",
    description="What staging holds and no table took: each observation with its row as read.",
    columns=(
        Column("source_file_id", "STRING", "sha256 of the staging file"),
        Column("row_no", "INT64", "row in the file, from 1"),
        Column("item", "STRING", "name of the series in the file; empty where it has none"),
        Column("source", "STRING", "source as the row states it", required=False),
        Column("series_id", "STRING", "series of macro.yaml, if one takes it", required=False),
        Column("verdict", "STRING", "refused or conflict"),
        Column("reason", "STRING", "why"),
        Column("record", "STRING", "the row as read, JSON"),
        Column("load_id", "STRING", "load that judged it"),
        Column("loaded_at", "TIMESTAMP", "when", unit="UTC"),
    ),
    key=("source_file_id", "row_no", "item"),
    cluster_by=("source_file_id",),
)

STITCH_STATISTICS = TableSpec(
    dataset="ops",
    name="stitch_statistics",
    description="What justifies the stitch, worked out at each build: Yahoo's closes against "
    "Databento's on the dates that both have. NULL where there is no such date.",
    columns=(
        Column("recorded_at", "TIMESTAMP", "when", unit="UTC"),
        Column("root", "STRING", "product root"),
        Column("boundary", "DATE", "first date that Yahoo may not give"),
        Column("scale", "FLOAT64", "what Yahoo's prices are multiplied by"),
        Column("adjustment", "STRING", "how they are adjusted"),
        Column("close_kind", "STRING", "what Yahoo's close is"),
        Column("bridge_rows", "INT64", "rows of the bridge"),
        Column("overlap_days", "INT64", "dates that both have"),
        Column("first_day", "DATE", "the first of them", required=False),
        Column("last_day", "DATE", "the last of them", required=False),
        Column("median_abs_difference", "FLOAT64", "of the closes", False, unit=NATIVE),
        Column("max_abs_difference", "FLOAT64", "of the closes", False, unit=NATIVE),
        Column("median_ratio", "FLOAT64", "Databento's close / Yahoo's: the scale", False),
        Column("share_equal", "FLOAT64", "share of dates that agree to half a tick", False),
        Column("seam_move", "FLOAT64", "Databento's first close / Yahoo's last - 1", False),
        Column("inside_move", "FLOAT64", "the same move inside Yahoo", False),
        Column("typical_move", "FLOAT64", "Yahoo's median absolute daily move there", False),
    ),
    key=("root", "recorded_at"),
)

STAGING_TABLES: Final = (
    MACRO_OBSERVATIONS,
    YAHOO_BRIDGE,
    STAGING_FILES,
    REFUSED_OBSERVATIONS,
    STITCH_STATISTICS,
)
