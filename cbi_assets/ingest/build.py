"""Build: fill features.daily_ml_matrix from the raw tables, in one transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from cbi_assets.checks import CheckResult, check_matrix, failed_upstream, keep_results
from cbi_assets.features.crush import CRUSH_LEGS, CRUSH_ROOT
from cbi_assets.features.matrix import build_matrix
from cbi_assets.market.bars import Timeframe
from cbi_assets.project import Project
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.sql_files import load_sql
from cbi_assets.warehouse.tables import DAILY_ML_MATRIX, RAW


@dataclass(frozen=True)
class BuildOutcome:
    """What a build wrote. `rows` by root; `barred` names the failed checks that kept a root out."""

    rows: dict[str, int]
    barred: dict[str, list[str]]
    first: dt.date | None = None
    last: dt.date | None = None
    checks: list[CheckResult] = field(default_factory=list)

    @property
    def fell_short(self) -> bool:
        """Whether a root was kept out or a check of the matrix failed."""
        return bool(self.barred) or any(result.failed for result in self.checks)


def build(
    project: Project,
    *,
    now: dt.datetime,
    roots: tuple[str, ...] = (),
    start: dt.date | None = None,
    end: dt.date | None = None,
    tell: Callable[[str], None] = lambda message: None,
) -> BuildOutcome:
    """Rebuild the matrix of these roots (all, where none given) between two trade dates.

    Hold the home first. A root whose raw bars failed an ERROR check when last checked is left as
    it was; the crush does not rest on it either. `now` becomes `ingestion_ts`; nothing else depends
    on it.
    """
    chosen = project.universe.select(roots)
    with project.open_warehouse() as warehouse:
        failed = failed_upstream(warehouse, project.universe.select())
        barred = {root: reasons for root, reasons in failed.items() if root in chosen}
        sound = [root for root in chosen if root not in barred]
        legs = _crush_legs(project, sound)
        for leg in legs:
            if leg in failed:
                tell(f"{CRUSH_ROOT}'s crush stays empty: the bars of {leg} failed a check")
        read = [*sound, *(leg for leg in legs if leg not in failed)]
        tell(f"reading the bars of {len(read)} roots")
        bars = {
            timeframe: warehouse.query(
                load_sql("matrix_bars", table=RAW[timeframe].id), {"roots": read}
            )
            for timeframe in _SOURCES
        }
        tables: dict[Timeframe, str] = {t: RAW[t].id for t in _SOURCES}
        matrix = build_matrix(
            bars["1h"], bars["1d"], project.universe.calendars(), tables, project.regimes, now
        )
        if not matrix.is_empty():
            matrix = matrix.filter(pl.col("symbol").is_in(sound))
        if matrix.is_empty():
            _take_out(warehouse, sound, start, end)
            return BuildOutcome({}, barred)
        window = matrix.filter(
            pl.col("data_date").is_between(start or dt.date.min, end or dt.date.max)
        )
        tell(f"publishing {window.height:,} rows into {DAILY_ML_MATRIX.id}")
        _publish(warehouse, window, sound, start, end)
        held = sorted(set(window["symbol"]))
        checks = check_matrix(warehouse, held)
        keep_results(warehouse, checks, now)
        counts = dict(window.group_by("symbol").len().sort("symbol").iter_rows())
        first, last = window["data_date"].min(), window["data_date"].max()
        assert first is None or isinstance(first, dt.date)
        assert last is None or isinstance(last, dt.date)
        return BuildOutcome(counts, barred, first, last, checks)


_SOURCES: tuple[Timeframe, ...] = ("1h", "1d")


def _crush_legs(project: Project, roots: list[str]) -> list[str]:
    """The roots beside `roots` that their rows need bars of."""
    if CRUSH_ROOT not in roots:
        return []
    return [leg for leg in CRUSH_LEGS if leg not in roots and leg in project.universe.roots]


def _take_out(
    warehouse: Warehouse, roots: list[str], start: dt.date | None, end: dt.date | None
) -> None:
    """No bar is left that a row could rest on."""
    span, params = _span(roots, start, end)
    warehouse.transact([Statement(f"DELETE FROM `{DAILY_ML_MATRIX.id}` WHERE {span}", params)])


def _span(
    roots: list[str], start: dt.date | None, end: dt.date | None
) -> tuple[str, dict[str, Any]]:
    params = {
        "roots": roots,
        "start": start or dt.date(1900, 1, 1),
        "end": end or dt.date(2200, 1, 1),
    }
    return "symbol IN UNNEST(@roots) AND data_date BETWEEN @start AND @end", params


def _publish(
    warehouse: Warehouse,
    rows: pl.DataFrame,
    roots: list[str],
    start: dt.date | None,
    end: dt.date | None,
) -> None:
    staged = warehouse.stage_frame("matrix_rows", rows)
    span, params = _span(roots, start, end)
    params["rows"] = rows.height
    columns = ", ".join(DAILY_ML_MATRIX.column_names)
    table = DAILY_ML_MATRIX.id
    warehouse.transact(
        [
            Statement(f"DELETE FROM `{table}` WHERE {span}", params),
            Statement(f"INSERT INTO `{table}` ({columns}) SELECT {columns} FROM `{staged}`"),
            Statement(
                f"SELECT COUNT(*) AS held FROM `{table}` WHERE {span} HAVING COUNT(*) <> @rows",
                params,
                f"{table}: {{0}} rows held where {rows.height} were built. Nothing was published.",
            ),
        ]
    )
