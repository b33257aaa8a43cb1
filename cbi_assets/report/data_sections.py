"""The page's sections on the data: warehouse, drive, staging, sources, needs and gaps."""

from __future__ import annotations

from collections import Counter

import polars as pl

from cbi_assets.formatting import number, percent, plural, size
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.report.audit_model import Audit
from cbi_assets.report.page import Block, Section, Text, grid

LISTED = 60
"""Rows of a long table that the page shows; the JSON has all of them."""

_GAP_KINDS = ("closed session", "no trade", "vendor's gap", "lost")


def warehouse_section(audit: Audit) -> Section:
    """List every table with rows and range; the empty ones in one line."""
    is_empty = pl.col("rows") == 0
    empty = audit.tables.filter(is_empty)["id"].to_list()
    tables = audit.tables.filter(~is_empty).select(
        _named("id", "table"), "rows", _span("dates"), _named("description", "what it is")
    )
    blocks: list[Block] = [
        grid("Tables with rows", tables, code=["table"],
             empty="Every table is empty: nothing is loaded yet.")
    ]  # fmt: skip
    if empty and not tables.is_empty():
        blocks.append(Text(f"Empty: {', '.join(empty)}."))
    if not audit.partitions.is_empty():
        partitions = audit.partitions.select(
            "root", _named("timeframe", "bars of"), "rows", "continuous", "outrights", "spreads",
            _named("trade_dates", "trade dates"), _span("range"),
        )  # fmt: skip
        blocks.append(grid("Raw bars by root and timeframe", partitions))
    return Section("warehouse", "Warehouse", blocks)


def drive_section(audit: Audit) -> Section:
    """List the folders: names, content, and where they disagree; then the files with problems."""
    drive = audit.drive
    if drive.path is None:
        where = "CBI_DRIVE is not set."
    elif drive.mounted:
        where = f"{drive.path} is mounted, {size(drive.free_bytes)} free."
    else:
        where = f"{drive.path} is not mounted: this is its state when it was last read."
    loaded = "All of them are in the books." if drive.bar_files else ""
    if drive.waiting_files:
        files, records = plural(drive.waiting_files, "file"), number(drive.waiting_records)
        loaded = f"{files} with {records} records are not loaded yet."
    files = f"{plural(drive.files, 'file')}, {size(drive.bytes)}"
    folders = drive.folders.select(
        "folder", _named("says", "folder says"), _named("content", "content says"), "files",
        "records", _span("UTC days"), "verdict",
    )  # fmt: skip
    differences = drive.folders.select("folder", _named("disagreements", "what differs"))
    troubles = drive.troubles.select(_named("kind", "problem"), _named("path", "file"), "why")
    return Section(
        "drive",
        "Drive",
        [
            Text(f"{where} {files}, {number(drive.bar_files)} of them bars. {loaded}"),
            grid(
                "Folders: what they say and what they contain",
                folders,
                code=["folder"],
                empty="No folder is known.",
            ),
            grid(
                "Where a folder's name and its content differ",
                differences.explode("what differs").drop_nulls(),
                code=["folder"],
                empty="Every folder's content matches its name.",
            ),
            grid(
                "Files with problems",
                troubles.head(LISTED),
                code=["file"],
                empty="None is missing, gone, renamed, misnamed or refused.",
            ),
            *_more(troubles.height, "files"),
        ],
    )


def staging_section(audit: Audit) -> Section:
    """Show verdict and reason of each file, and of each source inside it."""
    staging = audit.staging
    if staging.is_empty():
        return Section("staging", "Staging", [Text("No staging file was validated.")])
    files = staging.group_by("path", maintain_order=True).agg(pl.col("file_verdict").last())
    verdicts = Counter(files["file_verdict"])
    text = (
        f"{plural(files.height, 'file')}: "
        + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        + ". Staging is validated row by row; published, duplicates, refused and conflicts are "
        "observations, and a wide row has several."
    )
    gone = pl.when(present=False).then(pl.lit(" (gone)")).otherwise(pl.lit(""))
    rows = staging.select(
        (pl.col("path") + gone).alias("file"),
        pl.col("source").replace("", "none named").alias("source inside"),
        "verdict", "rows", "published", "duplicates", "refused", "conflicts",
        _named("reason", "why"),
    )  # fmt: skip
    table = grid("Staging files and the sources in them", rows, code=["file"])
    return Section("staging", "Staging", [Text(text), table])


def sources_section(audit: Audit) -> Section:
    """Show which source may provide what."""
    rows = audit.sources.rename({"gives": "may provide"})
    return Section(
        "sources", "Source hierarchy", [grid("Fixed in sources.yaml, from the top", rows)]
    )


def needs_section(audit: Audit) -> Section:
    """Show what is wanted, published and missing, in trade dates."""
    ranges = pl.col("ranges")
    more = ranges.list.len().cast(pl.Int64) - 2
    share = pl.struct("published", "wanted").map_elements(
        lambda counts: percent(counts["published"], counts["wanted"]), pl.String
    )
    rows = audit.needs.select(
        "root", "tier", _named("timeframe", "bars of"), "series", "wanted", "published",
        share.alias("share"),
        _named("gaps", "vendor's gaps"),
        "missing",
        (ranges.list.head(2).list.join("; ")
         + pl.when(more > 0).then(pl.format(" and {} more", more)).otherwise(pl.lit("")))
        .alias("still missing"),
        _named("also_held", "also published"),
    )  # fmt: skip
    complete = audit.needs.filter(missing=0).height
    text = (
        f"In trade dates through {audit.through}: wanted = published + vendor's gaps + missing. "
        f"{number(complete)} of {plural(rows.height, 'series', 'series')} are complete. “Also "
        "published” are bars of other series, which the universe does not count."
    )
    table = grid(
        "What the universe needs and the tables have", rows, code=["series"], right=["share"]
    )
    return Section("needs", "What we have and need", [Text(text), table])


def gaps_section(audit: Audit) -> Section:
    """Count the dates without a bar inside each range, by why; list all but closed sessions."""
    kind = pl.col("kind")
    ranges = audit.partitions.select("root", "timeframe", _span("range"))
    counts = (
        audit.gaps.sort(pl.col("timeframe").cast(pl.Enum(TIMEFRAMES)), maintain_order=True)
        .group_by("root", "timeframe", maintain_order=True)
        .agg(pl.col("dates").filter(kind=name).sum().alias(name) for name in _GAP_KINDS)
        .join(ranges, on=["root", "timeframe"], how="left", maintain_order="left")
        .select("root", _named("timeframe", "bars of"), "range", *_GAP_KINDS)
    )
    severity = kind.cast(pl.Enum(["lost", "vendor's gap", "no trade"]))
    listed = (
        audit.gaps.filter(kind != "closed session")
        .sort(severity, "root", "timeframe", "first")
        .select(
            "kind", "root", _named("timeframe", "bars of"), "dates",
            _span("from and to"), "why",
        )
    )  # fmt: skip
    text = (
        "Weekdays without a bar between the first and the last date with one. Closed session: the "
        "exchange does not trade. No trade: a loaded file covers the date and has no record of it. "
        "Vendor's gap: missing in the vendor's history. Lost: none of these."
    )
    return Section(
        "gaps",
        "Gaps",
        [
            Text(text),
            grid(
                "Dates without a bar, by kind",
                counts,
                empty="There is no range in which a date could be missing.",
            ),
            grid(
                "Each gap that is not a closed session",
                listed.head(LISTED),
                empty="None: every date without a bar is one on which the exchange is closed.",
            ),
            *_more(listed.height, "gaps"),
        ],
    )


def _named(column: str, name: str) -> pl.Expr:
    return pl.col(column).alias(name)


def _span(name: str) -> pl.Expr:
    """Return columns first and last as `2025-01-02 to 2025-03-31`, one date if they are equal."""
    one_date = pl.when(pl.col("first") == pl.col("last")).then(pl.col("first").cast(pl.String))
    return one_date.otherwise(pl.format("{} to {}", "first", "last")).alias(name)


def _more(count: int, noun: str) -> list[Block]:
    if count <= LISTED:
        return []
    return [Text(f"{number(count - LISTED)} more {noun}: audit.json has all of them.")]
