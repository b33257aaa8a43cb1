"""Name the contracts behind continuous bars that a load publishes, or that were published before.

A bar is named when it is published. If a source that names it arrives later, its contract is
changed in place, and the books say which load did so (`ops.loads.named_by`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import polars as pl

from cbi_assets.drive.catalog import Slice
from cbi_assets.ledger.pending_events import Partition
from cbi_assets.load.instruments import CHANGES, Names, changes_between, claims_of, resolve_names
from cbi_assets.load.symbology_answers import read_answers
from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.session import Session
from cbi_assets.tables import INSTRUMENT_CONFLICTS, INSTRUMENTS, RAW, TableSpec
from cbi_assets.timestamps import utc_from_micros
from cbi_assets.warehouse.base import Params, Statement, Warehouse
from cbi_assets.warehouse.sql_files import load_sql

NAME_TABLES: Final = (INSTRUMENTS, INSTRUMENT_CONFLICTS)
"""The tables of names."""


@dataclass(frozen=True)
class Renamed:
    """Published bars whose contract a load changes, by partition, and the statements for it."""

    bars: dict[Partition, int] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)


class Naming:
    """What the sources on the drive name, against what the warehouse has."""

    def __init__(self, session: Session) -> None:
        self._warehouse = session.warehouse
        answers = [answer.source for answer in read_answers(session.home)]
        sources = [*session.catalog.names(), *answers]
        claims = claims_of(sources, session.catalog.files().values())
        self._before, self._disputed = (_rows(self._warehouse, spec) for spec in NAME_TABLES)
        self.names: Names = resolve_names(claims, self._before, session.universe.months_after())

    @cached_property
    def changes(self) -> pl.DataFrame:
        """The dates on which an instrument has another contract than before (CHANGES)."""
        return changes_between(self._before, self.names.instruments)

    @property
    def is_new(self) -> bool:
        """Whether the tables of names differ from what the sources say."""
        return not (
            self._before.equals(self.names.instruments)
            and self._disputed.equals(self.names.conflicts)
        )

    def stage(self, timeframe: Timeframe, slices: Sequence[Slice]) -> str:
        """Stage the names that the bars of these slices may need, and return the table's id."""
        roots = sorted({piece.root for piece in slices})
        first, last = _span(slices)
        chosen = self.names.instruments.filter(
            pl.col("root").is_in(roots), pl.col("from_date") <= last, pl.col("to_date") > first
        )
        return stage_names(self._warehouse, timeframe, chosen)

    def rename(self, load_id: str) -> Renamed:
        """Find the published bars that are named differently now. Changes nothing yet."""
        found = Renamed()
        if self.changes.is_empty():
            return found
        ranges = self._warehouse.query(load_sql("load/published_ranges"))
        for timeframe in TIMEFRAMES:
            changes = _within(self.changes, ranges.filter(timeframe=timeframe))
            if changes.is_empty():
                continue
            params: Params = {
                "roots": sorted(set(changes["root"])),
                "first_ts": _midnight(changes["from_date"].min()),
                "last_ts": _midnight(changes["to_date"].max()) - dt.timedelta(microseconds=1),
            }
            names = {
                "table": RAW[timeframe].id,
                "names": self._warehouse.stage_frame(f"renames_{timeframe}", changes),
            }
            renamed = self._warehouse.stage_query(
                f"renamed_{timeframe}", load_sql("load/renamed_bars", **names), params
            )
            counted = self._warehouse.query(
                f"SELECT root, SUM(row_count) AS row_count FROM `{renamed}` GROUP BY root"
            )
            if counted.is_empty():
                continue
            found.bars.update({(root, timeframe): count for root, count in counted.iter_rows()})
            entry: Params = {"load_id": load_id, "timeframe": timeframe}
            found.statements.extend(
                [
                    Statement(load_sql("load/rename_bars", **names), params),
                    Statement(load_sql("load/record_renaming", renamed=renamed), entry),
                ]
            )
        return found

    def statements(self) -> list[Statement]:
        """Return the statements that write what differs of both tables of names."""
        found: list[Statement] = []
        if not self._disputed.equals(self.names.conflicts):
            found.append(Statement(f"DELETE FROM `{INSTRUMENT_CONFLICTS.id}` WHERE TRUE"))
            found += self._insert(INSTRUMENT_CONFLICTS, self.names.conflicts)
        key = list(INSTRUMENTS.key[:2])
        after = self.names.instruments
        old = self._before.join(after, on=self._before.columns, how="anti")
        new = after.join(self._before, on=after.columns, how="anti")
        renewed = pl.concat([old, new]).select(key).unique().sort(key)
        if renewed.is_empty():
            return found
        staged = self._warehouse.stage_frame("renewed_instruments", renewed)
        found.append(Statement(load_sql("load/delete_instruments", renewed=staged)))
        return found + self._insert(INSTRUMENTS, after.join(renewed, on=key, how="semi"))

    def _insert(self, spec: TableSpec, rows: pl.DataFrame) -> list[Statement]:
        if rows.is_empty():
            return []
        staged = self._warehouse.stage_frame(f"new_{spec.name}", rows)
        columns = ", ".join(spec.column_names)
        return [Statement(f"INSERT INTO `{spec.id}` ({columns}) SELECT {columns} FROM `{staged}`")]


def stage_names(
    warehouse: Warehouse, timeframe: Timeframe, names: pl.DataFrame | None = None
) -> str:
    """Stage names (CHANGES), by default none, for bars to be published, and return the id."""
    rows = pl.DataFrame(schema=CHANGES) if names is None else names.select(*CHANGES)
    return warehouse.stage_frame(f"names_{timeframe}", rows)


def names_query(spec: TableSpec) -> Statement:
    """Return what a load asks of one of NAME_TABLES."""
    return Statement(f"SELECT {', '.join(spec.column_names)} FROM `{spec.id}`")


def _rows(warehouse: Warehouse, spec: TableSpec) -> pl.DataFrame:
    rows = warehouse.query(names_query(spec).sql)
    return rows.cast(spec.polars_schema).sort(spec.column_names)


def _within(changes: pl.DataFrame, ranges: pl.DataFrame) -> pl.DataFrame:
    """Return changes cut to the dates on which the books have bars of their root."""
    dates = ranges.select(
        "root",
        first=pl.col("first_ts").dt.date(),
        end=pl.col("last_ts").dt.date().dt.offset_by("1d"),
    )
    return (
        changes.join(dates, on="root")
        .with_columns(
            from_date=pl.max_horizontal("from_date", "first"),
            to_date=pl.min_horizontal("to_date", "end"),
        )
        .filter(pl.col("from_date") < pl.col("to_date"))
        .select(*CHANGES)
    )


def _span(slices: Sequence[Slice]) -> tuple[dt.date, dt.date]:
    """Return the first and last UTC date of slices; an empty span if none has a date."""
    firsts = [found.date() for s in slices if (found := utc_from_micros(s.first_ts))]
    lasts = [found.date() for s in slices if (found := utc_from_micros(s.last_ts))]
    return min(firsts, default=dt.date.max), max(lasts, default=dt.date.min)


def _midnight(day: object) -> dt.datetime:
    assert isinstance(day, dt.date)
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
