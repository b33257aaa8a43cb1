"""The page's sections on the data: warehouse, freshness, drive, staging, needs and gaps."""

from __future__ import annotations

from collections import Counter

import polars as pl

from cbi_assets.drive.inventory import count_trusts
from cbi_assets.formatting import number, percent, plural, size
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.report.audit_model import Audit
from cbi_assets.report.figures import freshness_figure, volume_figure
from cbi_assets.report.page import Block, Figure, Section, Text, grid

LISTED = 60
"""Rows of a long table that the page shows; the JSON has all of them."""

_FILES = 2_000
"""Files of the drive that the page lists."""

_GAP_KINDS = ("closed session", "no trade", "vendor's gap", "lost")


def warehouse_section(audit: Audit) -> Section:
    """List every table with rows and range; the empty ones in one line."""
    is_empty = pl.col("rows") == 0
    empty = audit.tables.filter(is_empty)["id"].to_list()
    tables = audit.tables.filter(~is_empty).select(
        pl.col("id").alias("table"), "rows", _span("dates"), "description"
    )
    nothing = "Every table is empty: nothing is loaded yet."
    blocks: list[Block] = [grid("Tables with rows", tables, code=["table"], empty=nothing)]
    if empty and not tables.is_empty():
        blocks.append(Text(f"Empty: {', '.join(empty)}."))
    return Section("warehouse", "Warehouse", blocks, plural(tables.height, "table"))


def freshness_section(audit: Audit) -> Section:
    """Show each series' newest trade date and its bars, then volume and freshness over time."""
    partitions, title = audit.partitions, "Volume and freshness"
    if partitions.is_empty():
        return Section("freshness", title, [Text("No bars are published.")], "no bars")
    behind = (pl.lit(audit.through) - pl.col("last")).dt.total_days().clip(lower_bound=0)
    newest = pl.col("loaded_at").filter(pl.col("published") > 0).max()
    loaded = audit.arrivals.group_by("root", "timeframe").agg(newest.alias("last new bars, UTC"))
    rows = partitions.join(
        loaded, on=["root", "timeframe"], how="left", maintain_order="left"
    ).select(
        "root", "timeframe", pl.col("last").alias("newest date"), behind.alias("days behind"),
        "last new bars, UTC", "rows", "continuous", "outrights", "spreads", "trade_dates",
        pl.col("first").alias("first date"),
    )  # fmt: skip
    oldest, newest_date, days = rows.select(
        pl.col("newest date").min().alias("oldest"),
        pl.col("newest date").max().alias("newest"),
        pl.col("days behind").max(),
    ).row(0)
    text = (
        f"Newest trade date of each series: {oldest} to {newest_date}, against {audit.through}, "
        "the newest complete one."
    )
    months = audit.months
    figures = [
        Figure(
            "volume-by-month",
            "Volume by month, each root against its own largest",
            "Darker is more. Of each root's coarsest timeframe that covers the month.",
            volume_figure(months),
        ),
        Figure(
            "freshness-by-load",
            "Freshness after each load, by root",
            "Days from each root's newest bar to the load, as things stood after it.",
            freshness_figure(audit.arrivals),
        ),
    ]
    table = grid("Raw bars by root and timeframe", rows, filter_by="timeframe")
    blocks = [Text(text), table, *_anonymous_bars(audit), *figures]
    return Section("freshness", title, blocks, f"{number(days)} days behind")


def _anonymous_bars(audit: Audit) -> list[Block]:
    """Say how many continuous bars are of an unknown contract, and what would name them."""
    rows = audit.partitions.filter(pl.col("anonymous") > 0)
    anonymous, continuous = (int(audit.partitions[n].sum()) for n in ("anonymous", "continuous"))
    if rows.is_empty():
        return []
    named = percent(continuous - anonymous, continuous)
    text = (
        f"Of {number(continuous)} bars of continuous symbols, the contract of {number(anonymous)} "
        f"is unknown ({named} are named). A file on the drive that maps the root's contracts to "
        "instrument ids on these dates names them at the next load: the DBN header or the "
        "symbology.json of any job of the parent, such as a 1d job of ZL.FUT. With "
        "DATABENTO_API_KEY set, `cbi resolve` asks Databento for them, free of charge and once."
    )
    listed = rows.select(
        "root",
        "timeframe",
        "continuous",
        "anonymous",
        _span("dates", "anonymous_first", "anonymous_last"),
        pl.format("{}.FUT", "root").alias("named by a job of"),
        pl.format("cbi resolve --symbol {}", "root").alias("or by"),
    )
    caption = "Continuous bars whose contract is unknown"
    return [Text(text), grid(caption, listed, code=["named by a job of", "or by"])]


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
        waiting, records = plural(drive.waiting_files, "file"), number(drive.waiting_records)
        loaded = f"{waiting} with {records} records are not loaded yet."
    files = f"{plural(drive.files, 'file')}, {size(drive.bytes)}"
    folders = drive.folders.rename({"says": "folder says", "content": "content says"}).select(
        "folder",
        "folder says",
        "content says",
        "files",
        "records",
        _span("UTC days"),
        "trust",
        "verdict",
    )
    differences = drive.folders.select("folder", pl.col("disagreements").alias("what differs"))
    trusts = count_trusts(drive.trusts) or "none"
    problems = drive.troubles.rename({"kind": "problem", "path": "file"})
    return Section(
        "drive",
        "Drive",
        [
            Text(f"{where} {files}, {number(drive.bar_files)} of them bars. {loaded}"),
            Text(
                f"Trust: {trusts}. Verified: its job's manifest is intact and lists these bytes. "
                "Unverified: no manifest lists it; its bars load. Refused: nothing of it loads."
            ),
            grid(
                "Jobs by trust",
                drive.jobs.drop("manifest_damaged").head(LISTED),
                code=["job", "folder"],
                empty="No job is known.",
            ),
            *more_rows(drive.jobs, "jobs"),
            grid(
                "Files that a person accepted despite a damaged manifest",
                audit.acceptances,
                code=["path"],
                empty="None.",
            ),
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
                problems.head(LISTED),
                code=["file"],
                empty="None is missing, gone, renamed, misnamed or refused.",
            ),
            *more_rows(problems, "files"),
            grid(
                "Every file on the drive but sidecars",
                drive.listing.head(_FILES).select(
                    "file", "trust", "content", "records", _span("UTC days"), "loaded"
                ),
                code=["file"],
                filter_by="trust",
            ),
            *more_rows(drive.listing, "files", _FILES),
        ],
        f"{plural(drive.files, 'file')}, {plural(drive.troubles.height, 'problem')}",
    )


def staging_section(audit: Audit) -> Section:
    """Show verdict and reason of each file and source inside it, and what sources may provide."""
    staging, title = audit.staging, "Staging and sources"
    rows = audit.sources.rename({"gives": "may provide"})
    sources = grid("Source hierarchy, fixed in sources.yaml, from the top", rows)
    if staging.is_empty():
        text = "No staging file was validated."
        return Section("staging", title, [Text(text), sources], "no files")
    files = staging.unique("path", keep="last", maintain_order=True)
    counts = [f"{count} {verdict}" for verdict, count in Counter(files["file_verdict"]).items()]
    text = (
        f"{plural(files.height, 'file')}: {', '.join(counts)}. Staging is validated row by row; "
        "published, duplicates, refused and conflicts are observations, and a wide row has several."
    )
    gone = pl.when(present=False).then(pl.lit(" (gone)")).otherwise(pl.lit(""))
    listed = staging.select(
        (pl.col("path") + gone).alias("file"),
        pl.col("source").replace("", "none named").alias("source inside"),
        "verdict", "rows", "published", "duplicates", "refused", "conflicts", "reason",
    )  # fmt: skip
    table = grid(
        "Staging files and the sources in them", listed, code=["file"], filter_by="verdict"
    )
    return Section("staging", title, [Text(text), table, sources], plural(files.height, "file"))


def needs_section(audit: Audit) -> Section:
    """Show what is wanted, published and missing, in trade dates."""
    ranges = pl.col("ranges")
    others = ranges.list.len().cast(pl.Int64) - 2
    more = pl.when(others > 0).then(pl.format(" and {} more", others)).otherwise(pl.lit(""))
    share = pl.struct("published", "wanted").map_elements(
        lambda counts: percent(counts["published"], counts["wanted"]), pl.String
    )
    cost = pl.col("about_usd").map_elements(lambda usd: f"{usd:,.2f}", pl.String)
    rows = audit.needs.select(
        "root", "tier", "timeframe", "series", "wanted", "published", share.alias("share"),
        pl.col("gaps").alias("vendor's gaps"), "missing", cost.alias("about, USD"),
        (ranges.list.head(2).list.join("; ") + more).alias("still missing"),
        pl.col("also_held").alias("also published"),
    )  # fmt: skip
    complete = audit.needs.filter(missing=0).height
    text = (
        f"In trade dates through {audit.through}: wanted = published + vendor's gaps + missing. "
        f"{number(complete)} of {plural(rows.height, 'series', 'series')} are complete. The cost "
        "of what is missing is an estimate, which `cbi plan` replaces by a quote. “Also "
        "published” are bars of other series, which the universe does not count."
    )
    caption = "What the universe needs and the tables have"
    table = grid(caption, rows, code=["series"], right=["share", "about, USD"])
    count = f"{plural(audit.missing_dates, 'date')} missing"
    return Section("needs", "What we have and need", [Text(text), table], count)


def gap_blocks(audit: Audit) -> list[Block]:
    """Count the dates without a bar inside each range, by kind; list all but closed sessions."""
    kind, series = pl.col("kind"), ["root", "timeframe"]
    ranges = audit.partitions.select(*series, _span("range"))
    counts = (
        audit.gaps.sort(pl.col("timeframe").cast(pl.Enum(TIMEFRAMES)), maintain_order=True)
        .group_by(series, maintain_order=True)
        .agg(pl.col("dates").filter(kind=name).sum().alias(name) for name in _GAP_KINDS)
        .join(ranges, on=series, how="left", maintain_order="left")
        .select(*series, "range", *_GAP_KINDS)
    )
    listed = (
        audit.gaps.filter(kind != "closed session")
        .sort(kind.cast(pl.Enum(["lost", "vendor's gap", "no trade"])), *series, "first")
        .select("kind", *series, "dates", _span("from and to"), "why")
    )
    text = (
        "Weekdays without a bar between the first and the last date with one. Closed session: the "
        "exchange does not trade. No trade: a loaded file covers the date and has no record of it. "
        "Vendor's gap: missing in the vendor's history. Lost: none of these."
    )
    no_range = "There is no range in which a date could be missing."
    none = "None: every date without a bar is one on which the exchange is closed."
    return [
        Text(text),
        grid("Dates without a bar, by kind", counts, empty=no_range),
        grid("Each gap that is not a closed session", listed.head(LISTED), empty=none),
        *more_rows(listed, "gaps"),
    ]


def more_rows(frame: pl.DataFrame, noun: str, shown: int = LISTED) -> list[Block]:
    """Return a line that counts the rows after those `shown`, if there are any."""
    text = Text(f"{number(frame.height - shown)} more {noun}: audit.json has all of them.")
    return [text] if frame.height > shown else []


def _span(name: str, first: str = "first", last: str = "last") -> pl.Expr:
    """Return two columns of dates as `2025-01-02 to 2025-03-31`, one date if they are equal."""
    one_date = pl.when(pl.col(first) == pl.col(last)).then(pl.col(first).cast(pl.String))
    return one_date.otherwise(pl.format("{} to {}", first, last)).alias(name)
