"""The page's sections on what there is: warehouse, drive, staging, sources, needs and gaps."""

from __future__ import annotations

from cbi_assets.formatting import number, percent, plural, size, span
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.report.facts import Audit, GapKind
from cbi_assets.report.page import Block, Code, Grid, Section, Text

LISTED = 60
"""Rows of a long table that the page shows; the JSON has all of them."""

_GAP_KINDS: tuple[GapKind, ...] = ("closed session", "no trade", "vendor's gap", "lost")


def warehouse_section(audit: Audit) -> Section:
    """Every table with rows and range; the empty ones in a line."""
    rows = [
        [Code(table.id), number(table.rows), span(table.first, table.last), table.description]
        for table in audit.tables
        if table.rows
    ]
    empty = [table.id for table in audit.tables if not table.rows]
    blocks: list[Block] = [
        Grid(
            "Tables with rows",
            ["table", "rows", "dates", "what it is"],
            rows,
            frozenset({"rows"}),
            "Every table is empty: nothing is loaded yet.",
        )
    ]
    if empty and rows:
        blocks.append(Text(f"Empty: {', '.join(empty)}."))
    partitions = [
        [p.root, p.timeframe, number(p.rows), number(p.continuous), number(p.outrights),
         number(p.spreads), number(p.trade_dates), span(p.first, p.last)]
        for p in audit.partitions
    ]  # fmt: skip
    if partitions:
        columns = ["root", "bars of", "rows", "continuous", "outrights", "spreads", "trade dates",
                   "range"]  # fmt: skip
        blocks.append(
            Grid(
                "Raw bars by root and timeframe",
                columns,
                partitions,
                frozenset(columns[2:7]),
            )
        )
    return Section("warehouse", "Warehouse", blocks)


def drive_section(audit: Audit) -> Section:
    """Folder by folder: what names say, what content says, where they disagree; then troubles."""
    drive = audit.drive
    if drive.path is None:
        where = "CBI_DRIVE is not set."
    elif drive.mounted:
        where = f"{drive.path} is mounted, {size(drive.free_bytes)} free."
    else:
        where = f"{drive.path} is not mounted: this is what it held when it was last read."
    blocks: list[Block] = [
        Text(
            f"{where} {plural(drive.files, 'file')}, {size(drive.bytes)}, "
            f"{number(drive.bar_files)} of them bars. "
            + (
                f"{plural(drive.waiting_files, 'file')} with {number(drive.waiting_records)} "
                "records wait to be loaded."
                if drive.waiting_files
                else "All of them are in the books."
                if drive.bar_files
                else ""
            )
        ),
        Grid(
            "Folders: what they say and what they hold",
            ["folder", "folder says", "content says", "files", "records", "UTC days", "verdict"],
            [
                [Code(f.folder), f.says, f.content, number(f.files), number(f.records),
                 span(f.first, f.last), f.verdict]
                for f in drive.folders
            ],
            frozenset({"files", "records"}),
            "No folder is known.",
        ),
        Grid(
            "Where a folder's claim and its content differ",
            ["folder", "what differs"],
            [[Code(f.folder), told] for f in drive.folders for told in f.disagreements],
            empty="No folder claims anything that its content does not bear out.",
        ),
        Grid(
            "Files that are not as they should be",
            ["trouble", "file", "why"],
            [[t.kind, Code(t.path), t.why] for t in drive.troubles[:LISTED]],
            empty="None is missing, gone, renamed, misnamed or refused.",
        ),
        *_more(len(drive.troubles), "files"),
    ]  # fmt: skip
    return Section("drive", "Drive", blocks)


def staging_section(audit: Audit) -> Section:
    """Verdict and reason of each file, and of each source inside it."""
    columns = ["file", "source inside", "verdict", "rows", "published", "equal", "refused",
               "conflicts", "why"]  # fmt: skip
    rows = [
        [
            Code(s.path) if s.present is not False else Code(f"{s.path} (gone)"),
            s.source or "none named",
            s.verdict,
            number(s.rows),
            number(s.published),
            number(s.duplicates),
            number(s.refused),
            number(s.conflicts),
            s.reason,
        ]
        for s in audit.staging
    ]
    files = {s.path: s.file_verdict for s in audit.staging}
    counted = ", ".join(
        f"{sum(v == verdict for v in files.values())} {verdict}"
        for verdict in dict.fromkeys(files.values())
    )
    told = (
        f"{plural(len(files), 'file')}: {counted}. Staging is trusted row by row; published, "
        "equal, refused and conflicts are observations, and a wide row has several."
        if files
        else "No staging file was judged."
    )
    grid = Grid("Staging files and the sources in them", columns, rows, frozenset(columns[3:8]))
    return Section("staging", "Staging", [Text(told), *([grid] if rows else [])])


def sources_section(audit: Audit) -> Section:
    """Who may give what."""
    rows = [[rule.source, rule.gives, rule.rule] for rule in audit.sources]
    grid = Grid("Frozen in sources.yaml, from the top", ["source", "may give", "rule"], rows)
    return Section("sources", "Source hierarchy", [grid])


def needs_section(audit: Audit) -> Section:
    """Have and need, in trade dates."""
    columns = ["root", "tier", "bars of", "series", "wanted", "published", "share",
               "vendor's gaps", "missing", "still missing", "also held"]  # fmt: skip
    rows = [
        [need.root, str(need.tier), need.timeframe, Code(need.series), number(need.wanted),
         number(need.published), percent(need.published, need.wanted), number(need.gaps),
         number(need.missing),
         "; ".join(need.ranges[:2])
         + (f" and {len(need.ranges) - 2} more" if len(need.ranges) > 2 else ""),
         need.also_held]
        for need in audit.needs
    ]  # fmt: skip
    whole = sum(need.missing == 0 for need in audit.needs)
    told = (
        f"In trade dates through {audit.through}: wanted = published + vendor's gaps + missing. "
        f"{number(whole)} of {plural(len(audit.needs), 'series', 'series')} are whole. “Also held” "
        "are bars of other series, which the universe does not count."
    )
    numeric = {"tier", "wanted", "published", "share", "vendor's gaps", "missing"}
    grid = Grid("What the universe needs and the tables have", columns, rows, frozenset(numeric))
    return Section("needs", "What we have and need", [Text(told), grid])


def gaps_section(audit: Audit) -> Section:
    """Dates without a bar inside each held range, by why; each that is not a closed session."""
    counted: dict[tuple[str, str], dict[str, int]] = {}
    for gap in audit.gaps:
        row = counted.setdefault((gap.root, gap.timeframe), dict.fromkeys(_GAP_KINDS, 0))
        row[gap.kind] += gap.dates
    held = {(p.root, p.timeframe): span(p.first, p.last) for p in audit.partitions}
    rows = [
        [root, timeframe, held.get((root, timeframe), ""), *(number(row[k]) for k in _GAP_KINDS)]
        for timeframe in TIMEFRAMES
        for (root, own), row in counted.items()
        if own == timeframe
    ]
    named = [gap for gap in audit.gaps if gap.kind != "closed session"]
    order = ("lost", "vendor's gap", "no trade")
    named.sort(key=lambda gap: (order.index(gap.kind), gap.root, gap.timeframe, gap.first))
    told = (
        "Weekdays without a bar between the first and the last date held. Closed session: the "
        "exchange does not trade. No trade: a loaded file reaches over the date and holds no "
        "record of it. Vendor's gap: the vendor's history lacks it. Lost: none of these."
    )
    return Section(
        "gaps",
        "Gaps",
        [
            Text(told),
            Grid(
                "Dates without a bar, by why",
                ["root", "bars of", "range", *_GAP_KINDS],
                rows,
                frozenset(_GAP_KINDS),
                "No range is held in which a date could be missing.",
            ),
            Grid(
                "Each gap that is not a closed session",
                ["why", "root", "bars of", "dates", "from and to", "told by"],
                [
                    [g.kind, g.root, g.timeframe, number(g.dates), span(g.first, g.last), g.why]
                    for g in named[:LISTED]
                ],
                frozenset({"dates"}),
                "None: every date without a bar is one on which the exchange is closed.",
            ),
            *_more(len(named), "gaps"),
        ],
    )


def _more(count: int, noun: str) -> list[Block]:
    if count <= LISTED:
        return []
    return [Text(f"{number(count - LISTED)} more {noun}: audit.json has all of them.")]
