"""Which contract an instrument id stood for, who disagrees, and what Databento was asked."""

from __future__ import annotations

from cbi_assets.tables.spec import Column, TableSpec

INSTRUMENTS = TableSpec(
    dataset="market_data",
    name="instruments",
    description="Which outright an instrument id stood for, by files on the drive and Databento's "
    "symbology. An id is unique within a UTC day only. Dates that sources disagree about are in "
    "ops.instrument_conflicts instead.",
    columns=(
        Column("dataset", "STRING", "the vendor's dataset, e.g. GLBX.MDP3"),
        Column("instrument_id", "INT64", "the vendor's instrument id"),
        Column("from_date", "DATE", "first UTC date"),
        Column("to_date", "DATE", "UTC date after the last one"),
        Column("raw_symbol", "STRING", "the vendor's symbol of the outright, e.g. ZLZ5"),
        Column("root", "STRING", "product root"),
        Column("contract", "STRING", "contract with a four-digit year, e.g. ZLZ2025"),
        Column(
            "source",
            "STRING",
            "what states it, joined by +: dbn (a header), symbology.json, symbology.csv, api",
        ),
    ),
    key=("dataset", "instrument_id", "from_date"),
    partition_by="from_date",
    cluster_by=("root",),
)

INSTRUMENT_CONFLICTS = TableSpec(
    dataset="ops",
    name="instrument_conflicts",
    description="Sources that name an instrument differently on the same UTC dates, one row per "
    "source. Nothing is named by them.",
    columns=(
        Column("dataset", "STRING", "the vendor's dataset"),
        Column("instrument_id", "INT64", "the vendor's instrument id"),
        Column("from_date", "DATE", "first UTC date of the disagreement"),
        Column("to_date", "DATE", "UTC date after the last one"),
        Column("raw_symbol", "STRING", "the symbol that the source states"),
        Column("source", "STRING", "dbn, symbology.json, symbology.csv or api"),
        Column("path", "STRING", "the file, as a path on the drive; of api, in CBI_HOME"),
    ),
    key=("dataset", "instrument_id", "from_date", "raw_symbol", "path"),
)

SYMBOLOGY_REQUESTS = TableSpec(
    dataset="ops",
    name="symbology_requests",
    description="What `cbi resolve` asked Databento's symbology API, one row per request. Rows are "
    "added and never changed: an instrument is asked about once for a date.",
    columns=(
        Column("request_id", "STRING", "twelve hex digits of the sha256 of the request"),
        Column("dataset", "STRING", "the vendor's dataset"),
        Column("instrument_ids", "ARRAY<STRING>", "the instrument ids asked about", False),
        Column("from_date", "DATE", "first UTC date"),
        Column("to_date", "DATE", "UTC date after the last one"),
        Column("names", "INT64", "intervals of outrights and spreads in the answer"),
        Column("unknown", "INT64", "instruments that the answer does not name"),
        Column("cost_usd", "FLOAT64", "what it cost; resolving symbols is free", unit="USD"),
        Column("path", "STRING", "the answer, as a path in the home that asked"),
        Column("asked_at", "TIMESTAMP", "when it was asked", unit="UTC"),
    ),
    key=("request_id",),
)
