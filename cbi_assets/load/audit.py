"""Audit staged records in SQL: decide which may be published, and the outcome of the rest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from cbi_assets.drive.catalog import Content, Slice
from cbi_assets.drive.landing import verify_packs
from cbi_assets.errors import AuditError
from cbi_assets.load.superseded import superseded_records
from cbi_assets.market.bars import RTYPES, SECONDS, Columns, Timeframe
from cbi_assets.market.ticks import TICKS
from cbi_assets.session import Session
from cbi_assets.timestamps import EPOCH, utc_from_micros
from cbi_assets.warehouse.base import Assertion, Params, Statement, Warehouse
from cbi_assets.warehouse.sql_files import load_sql

_TODO: Columns = {
    "file_no": pl.Int32,
    "source_file_id": pl.String,
    "root": pl.String,
    "job_id": pl.String,
    "records": pl.Int64,
    "first_ts": pl.Datetime("us", "UTC"),
    "last_ts": pl.Datetime("us", "UTC"),
}


_VERDICTS: Columns = {"file_no": pl.Int32, "record_no": pl.Int64, "verdict": pl.String}
"""What a publication without repeated bars needs of their verdicts."""

_LEDGERS = ("ops.loads", "ops.quarantined_bars", "ops.bar_conflicts")


@dataclass(frozen=True)
class Staged:
    """Landed slices of one timeframe, staged for an audit against `table`.

    `names` maps each placeholder of the SQL files to a staged table's ID; `suffix` distinguishes
    this stage's tables from another's.
    """

    timeframe: Timeframe
    suffix: str
    names: Mapping[str, str]
    params: Params


@dataclass(frozen=True)
class Audited:
    """The outcome of an audit. `books` has one row per file and root: records, fresh, own,
    duplicates, quarantined, conflicts."""

    staged: Staged
    names: Mapping[str, str]
    books: pl.DataFrame


def stage(
    session: Session,
    contents: Mapping[int, Content],
    slices: Sequence[Slice],
    label: str = "",
    together_with: Sequence[Slice] = (),
) -> Staged:
    """Stage slices of one timeframe. `contents` is by file_no.

    The packs of `together_with` are staged too, because they are needed next: BigQuery uploads each
    set of packs once. Raises DamagedPackError for a pack whose sha256 is not the one landed.
    """
    timeframe = slices[0].timeframe
    packs = sorted({piece.pack for piece in (*slices, *together_with)})
    todo = (
        pl.DataFrame(
            [
                (
                    piece.file_no,
                    contents[piece.file_no].source_file_id,
                    piece.root,
                    contents[piece.file_no].job_id,
                    piece.records,
                    utc_from_micros(piece.first_ts),
                    utc_from_micros(piece.last_ts),
                )
                for piece in slices
            ],
            schema=_TODO,
            orient="row",
        )
        .group_by("file_no", "source_file_id", "root", "job_id", maintain_order=True)
        .agg(pl.col("records").sum(), pl.col("first_ts").min(), pl.col("last_ts").max())
    )
    suffix = f"{label}_{timeframe}"
    names = {
        "landed": session.warehouse.stage_parquet(
            f"landed_{timeframe}",
            verify_packs(session.home.landing, timeframe, packs),
        ),
        "todo": session.warehouse.stage_frame(f"todo{suffix}", todo),
        "superseded": session.warehouse.stage_frame(
            f"superseded{suffix}",
            superseded_records(session, [contents[n] for n in todo["file_no"].unique().sort()]),
        ),
        "ticks": session.warehouse.stage_frame(
            "ticks",
            pl.DataFrame(session.universe.ticks(), schema=TICKS, orient="row").with_columns(
                dataset=pl.col("root").replace_strict(
                    session.project.rules.datasets_of, default=None, return_dtype=pl.String
                )
            ),
        ),
    }
    first, last = todo["first_ts"].min(), todo["last_ts"].max()
    rtype = next(number for number, name in RTYPES.items() if name == f"ohlcv-{timeframe}")
    params: Params = {
        "timeframe": timeframe,
        "rtype": rtype,
        "step_us": SECONDS[timeframe] * 1_000_000,
        "datasets": list(session.project.rules.datasets),
        "roots": todo["root"].unique().sort().to_list(),
        "first_ts": first or EPOCH,
        "last_ts": last or EPOCH,
    }
    return Staged(timeframe, suffix, names, params)


def reject(warehouse: Warehouse, staged: Staged) -> dict[str, str]:
    """Stage the records that are not valid bars, and add `rejected` to the names."""
    names = dict(staged.names)
    names["rejected"] = warehouse.stage_query(
        f"rejected{staged.suffix}", load_sql("load/audit_rejected", **names), staged.params
    )
    return names


def audit(warehouse: Warehouse, staged: Staged, table: str) -> Audited:
    """Decide on every staged record. Raises AuditError if staging lost or doubled a record."""
    names = reject(warehouse, staged) | {"table": table}
    for step in ("repeated", "verdicts", "books"):
        name = f"{step}{staged.suffix}"
        if step == "verdicts" and not _has_rows(warehouse, names["repeated"]):
            names[step] = warehouse.stage_frame(name, pl.DataFrame(schema=_VERDICTS))
            continue
        sql = load_sql(f"load/audit_{step}", **names)
        names[step] = warehouse.stage_query(name, sql, staged.params)
    unbalanced = warehouse.query(load_sql("load/assert_complete", **names))
    if unbalanced.height:
        file_id, root, landed, found = unbalanced.row(0)
        raise AuditError(
            f"{root or 'unresolved records'} of file {file_id[:12]}: {landed} records landed, "
            f"{found} staged. Delete the landing zone under CBI_HOME and load again."
        )
    return Audited(staged, names, warehouse.query(f"SELECT * FROM `{names['books']}`"))


def _has_rows(warehouse: Warehouse, table: str) -> bool:
    count: int = warehouse.query(f"SELECT COUNT(*) AS row_count FROM `{table}`").item()
    return count > 0


def publication(
    audited: Audited,
    instruments: str,
    load_id: str,
    loaded_at: dt.datetime,
    *,
    replaces_entries: bool,
) -> list[Statement]:
    """Return the statements that publish an audited stage, to run in one transaction.

    `instruments` is the staged table of the names of instruments. `replaces_entries` says whether
    the books have entries of what is staged.
    """
    names = dict(audited.names) | {"names": instruments}
    params = {**audited.staged.params, "load_id": load_id, "loaded_at": loaded_at}

    def statement(name: str, **more: str) -> Statement:
        return Statement(load_sql(f"load/{name}", **names, **more), params)

    replaced = _LEDGERS if replaces_entries else ()
    found = audited.books.select("own", "quarantined", "conflicts").sum().row(0, named=True)
    return [
        *(statement("delete_entries", ledger=ledger) for ledger in replaced),
        statement("publish_bars"),
        *(statement(f"publish_{outcome}") for outcome, count in found.items() if count),
        statement("publish_books"),
        Assertion(
            load_sql("load/assert_published", **names),
            params,
            subject="{1} of file {0}",
            message="the table contains {3} published bars, the books expect {2}",
            remedy="Nothing was published. Retry the load.",
        ),
    ]
