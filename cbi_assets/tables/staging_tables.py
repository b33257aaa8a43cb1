"""The tables loaded from staging: macro observations, the Yahoo bridge, and their books."""

from __future__ import annotations

from typing import Final

from cbi_assets.tables.spec import NATIVE, Column, TableSpec

MACRO_OBSERVATIONS = TableSpec(
    dataset="raw_intelligence",
    name="macro_observations",
    description="Macro, policy, positioning and spot series from staging, from sources allowed in "
    "sources.yaml, each value with the time at which it became available. No futures prices.",
    columns=(
        Column("source", "STRING", "source, as named in sources.yaml"),
        Column("series_id", "STRING", "series of macro.yaml, which states its unit"),
        Column("reference_date", "DATE", "date of the value; first day if it describes a period"),
        Column("available_at", "TIMESTAMP", "when the value became available", unit="UTC"),
        Column("value", "FLOAT64", "value", unit="the series' own"),
        Column("source_file_id", "STRING", "sha256 of the staging file"),
        Column("load_id", "STRING", "load that published the row"),
    ),
    key=("series_id", "reference_date", "available_at"),
    partition_by="reference_date",
    cluster_by=("series_id",),
)

YAHOO_BRIDGE = TableSpec(
    dataset="market_data",
    name="yahoo_zl_historical_2000_2010",
    description="Yahoo's ZL history before 2010-06-06, stitched to the continuous series as stated "
    "in sources.yaml. No price of a later date comes from Yahoo.",
    columns=(
        Column("date", "DATE", "trade date"),
        Column("root", "STRING", "product root"),
        Column("open", "FLOAT64", "the day's first price; NULL if close_only", False, unit=NATIVE),
        Column("high", "FLOAT64", "the day's high; NULL if close_only", False, unit=NATIVE),
        Column("low", "FLOAT64", "the day's low; NULL if close_only", required=False, unit=NATIVE),
        Column("close", "FLOAT64", "the day's close", unit=NATIVE),
        Column("volume", "INT64", "contracts traded; NULL if close_only", False, unit="contracts"),
        Column("close_kind", "STRING", "settlement: the settlement price, not the last trade"),
        Column("close_only", "BOOL", "whether only the close is usable"),
        Column("scale", "FLOAT64", "factor by which Yahoo's prices were multiplied"),
        Column("adjustment", "STRING", "how prices were adjusted to Databento's: none"),
        Column("source", "STRING", "source, as named in sources.yaml"),
        Column("source_file_id", "STRING", "sha256 of the staging file"),
        Column("load_id", "STRING", "load that published the row"),
        Column("loaded_at", "TIMESTAMP", "when the row was published", unit="UTC"),
    ),
    key=("root", "date"),
    partition_by="date",
    cluster_by=("root",),
)

STAGING_FILES = TableSpec(
    dataset="ops",
    name="staging_files",
    description="The files in staging, one row per file and source, with verdict and books: "
    "observations = published + duplicates + refused + conflicts. In a wide file each column of a "
    "row is an observation.",
    columns=(
        Column("file_id", "STRING", "sha256 of the bytes"),
        Column("path", "STRING", "path in staging when it was read"),
        Column("source", "STRING", "source as stated in its rows; empty if they state none"),
        Column("layout", "STRING", "layout by its columns: indicators, cot, bridge, prices, …"),
        Column(
            "file_verdict",
            "STRING",
            "file's verdict: loaded, partly, refused, blocked or unread",
        ),
        Column("verdict", "STRING", "verdict on the source's rows, one of the same"),
        Column("reason", "STRING", "why rows of the source were refused; empty if none was"),
        Column("row_count", "INT64", "rows of the source"),
        Column("observations", "INT64", "values in these rows"),
        Column("published", "INT64", "observations published from this file"),
        Column("duplicates", "INT64", "observations equal to a published one"),
        Column("refused", "INT64", "refused observations; listed unless the file is blocked"),
        Column("conflicts", "INT64", "observations that differ from another of the date; listed"),
        Column("rules_hash", "STRING", "hash of the rules; if it changes, the file is read again"),
        Column("load_id", "STRING", "load that validated it"),
        Column("seen_at", "TIMESTAMP", "when these bytes were first seen", unit="UTC"),
        Column("loaded_at", "TIMESTAMP", "when it was validated", unit="UTC"),
    ),
    key=("file_id", "source"),
)

REFUSED_OBSERVATIONS = TableSpec(
    dataset="ops",
    name="refused_observations",
    description="Observations in staging that no table took, each with its row as read.",
    columns=(
        Column("source_file_id", "STRING", "sha256 of the staging file"),
        Column("row_no", "INT64", "row in the file, from 1"),
        Column("item", "STRING", "name of the series in the file; empty if it has none"),
        Column("source", "STRING", "source as stated in the row", required=False),
        Column("series_id", "STRING", "matching series of macro.yaml; NULL if none", False),
        Column("verdict", "STRING", "refused or conflict"),
        Column("reason", "STRING", "why it was not published"),
        Column("record", "STRING", "the row as read, JSON"),
        Column("load_id", "STRING", "load that validated it"),
        Column("loaded_at", "TIMESTAMP", "when it was validated", unit="UTC"),
    ),
    key=("source_file_id", "row_no", "item"),
    cluster_by=("source_file_id",),
)

STITCH_STATISTICS = TableSpec(
    dataset="ops",
    name="stitch_statistics",
    description="Evidence for the stitch, computed at each build: Yahoo's closes compared with "
    "Databento's on the dates in both. NULL if there is no such date.",
    columns=(
        Column("recorded_at", "TIMESTAMP", "when it was computed", unit="UTC"),
        Column("root", "STRING", "product root"),
        Column("boundary", "DATE", "first date not taken from Yahoo"),
        Column("scale", "FLOAT64", "factor by which Yahoo's prices are multiplied"),
        Column("adjustment", "STRING", "how Yahoo's prices are adjusted"),
        Column("close_kind", "STRING", "kind of Yahoo's close: settlement"),
        Column("bridge_rows", "INT64", "rows of the bridge"),
        Column("overlap_days", "INT64", "dates in both sources"),
        Column("first_day", "DATE", "first date in both", required=False),
        Column("last_day", "DATE", "last date in both", required=False),
        Column(
            "median_abs_difference",
            "FLOAT64",
            "median absolute difference of closes",
            False,
            unit=NATIVE,
        ),
        Column(
            "max_abs_difference",
            "FLOAT64",
            "largest absolute difference of closes",
            False,
            unit=NATIVE,
        ),
        Column(
            "median_ratio", "FLOAT64", "median of Databento's close / Yahoo's: the scale", False
        ),
        Column(
            "share_equal",
            "FLOAT64",
            "share of dates on which the closes agree to half a tick",
            False,
        ),
        Column("seam_move", "FLOAT64", "Databento's first close / Yahoo's last close - 1", False),
        Column("inside_move", "FLOAT64", "Yahoo's own move between these two dates", False),
        Column(
            "typical_move",
            "FLOAT64",
            "Yahoo's median absolute daily move before the boundary",
            False,
        ),
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
