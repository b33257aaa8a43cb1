"""Add symbol, contract, trade date and dataset to decoded bars: the landing zone's columns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from cbi_assets.drive.batch import Decoded
from cbi_assets.drive.formats import dataset_of_publisher, is_dataset_of_databento
from cbi_assets.drive.grammar import MAX_SYMBOL, is_symbol
from cbi_assets.formatting import shorten
from cbi_assets.market.bars import PRICES, Columns, is_suspect
from cbi_assets.market.session_hours import REVISIONS, traded_without_equities
from cbi_assets.market.sessions import Calendar, trade_date_of
from cbi_assets.market.symbology import describe_symbols, name_contracts
from cbi_assets.market.ticks import Tick, is_off_tick

LANDED: Final[Columns] = {
    "file_no": pl.Int32,
    "record_no": pl.Int64,
    "rtype": pl.Int16,
    "ts_event": pl.Datetime("us", "UTC"),
    "trade_date": pl.Date,
    "root": pl.String,
    "symbol": pl.String,
    "kind": pl.String,
    "contract": pl.String,
    "instrument_id": pl.Int64,
    "publisher_id": pl.Int64,
    **dict.fromkeys(PRICES, pl.Float64),
    "volume": pl.Int64,
    "dataset": pl.String,
    "fault": pl.String,
    "raw": pl.String,
}
"""Columns of the landing zone's Parquet.

`root` and `symbol` are empty if a record is unresolved; `fault` is why a record could not be read
as a bar; `raw` is the record as it was read, if it may be malformed, up to MAX_RAW characters.
"""

MAX_RAW: Final = 4_000
"""Characters of a record that are kept. Databento writes at most 400."""

_MAX_NAMES: Final = 3
"""How many symbols of one instrument a fault names."""

REQUIRED: Final = frozenset({"file_no", "record_no", "root", "symbol"})
"""Columns that are not nullable in the Parquet either, so that a warehouse may require them."""


@dataclass(frozen=True)
class Rules:
    """What a home accepts: the datasets that load, and each root's sector calendar and ticks.

    `accepted` are the keys (`FileRecord.acceptance_key`) of what a person took as it is.
    `datasets_of` has the dataset of each root whose bars load from that one alone, and
    `months_after` for how long contracts trade past their month, as `contract_name` takes it.
    """

    datasets: tuple[str, ...]
    calendars: Mapping[str, Calendar]
    ticks: tuple[Tick, ...]
    accepted: frozenset[str] = frozenset()
    datasets_of: Mapping[str, str] = field(default_factory=dict)
    months_after: Mapping[str, int] = field(default_factory=dict)

    def landed_as(self, root: str) -> str:
        """Return what a root's bars are dated and its contracts named by.

        That is its calendar, the calendar's revision and `months_after`, as far as there are any.
        Empty for a root whose sector is unknown.
        """
        calendar = self.calendars.get(root)
        if calendar is None:
            return ""
        revision = f".{REVISIONS[calendar]}" if calendar in REVISIONS else ""
        after = f"+{self.months_after[root]}" if root in self.months_after else ""
        return f"{calendar}{revision}{after}"

    def is_elsewhere(self) -> pl.Expr:
        """True for a record (root, dataset) of a root that is in another dataset."""
        return pl.any_horizontal(
            pl.lit(False),
            *(
                (pl.col("dataset") == dataset)
                & pl.col("root").is_in([r for r, own in self.datasets_of.items() if own != dataset])
                for dataset in self.datasets
            ),
        )


@dataclass(frozen=True)
class FileContext:
    """What decoding needs to know of one file besides its records.

    `dataset` is the one that the file or its job states; `accepted` the one that the file was
    accepted as, by the publisher of its first record if none is stated.
    """

    file_no: int
    dataset: str | None
    mappings: pl.DataFrame | None
    accepted: str | None = None


def canonicalise(
    decoded: Decoded,
    rtype: int,
    files: Sequence[FileContext],
    rules: Rules,
) -> pl.DataFrame:
    """Convert a decoded batch to LANDED columns, one row per record, in the same order."""
    frame = decoded.frame.with_columns(
        ts_event=pl.from_epoch(pl.col("ts_ns") // 1_000, time_unit="us").dt.replace_time_zone(
            "UTC"
        ),
        fault=pl.coalesce(
            "fault",
            pl.when(pl.col("ts_ns") % 1_000 != 0).then(
                pl.lit("ts_event is not on a whole microsecond")
            ),
        ),
    )
    frame = _reject_symbols(_resolve_symbols(frame, files))
    frame = _add_contract_and_date(frame, rules)
    frame = _resolve_datasets(frame, files)
    frame = frame.with_columns(pl.col("root", "symbol").fill_null(""))
    suspects = frame.select(
        is_suspect(rtype)
        | is_off_tick(frame, rules.ticks)
        | pl.col("fault").is_not_null()
        | _lacks_identity(files)
        | rules.is_elsewhere()
    ).to_series()
    rows = suspects.arg_true().to_list()
    if rows:
        raw = pl.Series([shorten(decoded.raw(row), MAX_RAW) for row in rows], dtype=pl.String)
        frame = frame.with_columns(frame["raw"].scatter(rows, raw))
    return frame.select(pl.col(name).cast(dtype) for name, dtype in LANDED.items())


def _lacks_identity(files: Sequence[FileContext]) -> pl.Expr:
    """True for a record that the audit cannot accept as a bar of its file, whatever its prices."""
    accepted = {file.file_no: file.accepted or file.dataset for file in files}
    of_file = pl.col("file_no").replace_strict(accepted, return_dtype=pl.String)
    needed = ("trade_date", "instrument_id", "publisher_id", "dataset")
    return pl.any_horizontal(pl.col(needed).is_null()) | pl.col("dataset").ne_missing(of_file)


def _reject_symbols(frame: pl.DataFrame) -> pl.DataFrame:
    """Give a fault to each record whose symbol, wherever it comes from, cannot be one."""
    names = frame["symbol"].drop_nulls().unique().to_list()
    wrong = {
        name: f"symbol {name!r}" + " is too long" * (len(name) > MAX_SYMBOL)
        for name in names
        if not is_symbol(name)
    }
    if not wrong:
        return frame
    fault = pl.col("symbol").replace_strict(wrong, default=None, return_dtype=pl.String)
    return frame.with_columns(
        fault=pl.coalesce("fault", fault),
        symbol=pl.when(~pl.col("symbol").is_in(list(wrong))).then("symbol"),
    )


def _resolve_symbols(frame: pl.DataFrame, files: Sequence[FileContext]) -> pl.DataFrame:
    if frame["symbol"].null_count() == 0:
        return frame
    tables = [
        file.mappings.with_columns(file_no=pl.lit(file.file_no, pl.Int32))
        for file in files
        if file.mappings is not None
    ]
    unresolved = pl.col("symbol").is_null() & pl.col("fault").is_null()
    frame = frame.with_columns(day=pl.col("ts_event").dt.date())
    if tables:
        keys = ["file_no", "instrument_id", "day"]
        resolved = (
            frame.filter(unresolved)
            .select(keys)
            .unique()
            .join(pl.concat(tables), on=["file_no", "instrument_id"])
            .filter((pl.col("d0") <= pl.col("day")) & (pl.col("day") < pl.col("d1")))
            .group_by(keys)
            .agg(pl.col("mapped_symbol").unique().sort().alias("names"))
            .select(
                *keys,
                found=pl.when(pl.col("names").list.len() == 1).then(pl.col("names").list.first()),
                several=pl.when(pl.col("names").list.len() > 1).then(
                    pl.format(
                        "instrument {} stands for {} on that day: ask for them in separate jobs",
                        "instrument_id",
                        pl.col("names").list.head(_MAX_NAMES).list.join(" and "),
                    )
                ),
            )
        )
        frame = (
            frame.join(resolved, on=keys, how="left", maintain_order="left")
            .with_columns(
                symbol=pl.coalesce("symbol", "found"), fault=pl.coalesce("fault", "several")
            )
            .drop("found", "several")
        )
    is_unknown = frame.select(unresolved).to_series()
    if is_unknown.any():
        no_symbol = pl.format("no symbol for instrument {} on {} (UTC)", "instrument_id", "day")
        frame = frame.with_columns(fault=pl.when(is_unknown).then(no_symbol).otherwise("fault"))
    return frame.drop("day")


def _add_contract_and_date(frame: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    symbols = describe_symbols(frame["symbol"].drop_nulls().unique().to_list())
    hours: dict[tuple[dt.date, ...], int] = {}
    calendars: list[Calendar | None] = []
    of_root: dict[str, int] = {}
    for root in symbols["root"].unique().to_list():
        calendar = rules.calendars.get(root)
        # Sectors with the same dates share a place.
        of_root[root] = hours.setdefault(traded_without_equities(calendar), len(hours))
        if len(calendars) < len(hours):
            calendars.append(calendar)
    sectors = pl.Series("sector", [of_root[root] for root in symbols["root"]], dtype=pl.Int32)
    frame = frame.join(
        symbols.with_columns(sectors), on="symbol", how="left", maintain_order="left"
    )
    if symbols["month"].null_count() < symbols.height:
        present = set(symbols["root"])  # most frames have no such root, and pay nothing
        months_after = {r: count for r, count in rules.months_after.items() if r in present}
        frame = frame.with_columns(name_contracts(pl.col("ts_event").dt.date(), months_after))
    else:
        frame = frame.with_columns(contract=pl.lit(None, pl.String))
    dates = _trade_dates(frame["ts_event"], calendars)
    if len(dates) == 1:
        return frame.with_columns(trade_date=dates[0]).drop("sector")
    date = pl.lit(None, pl.Date)
    for place, of_sector in enumerate(dates):
        date = pl.when(pl.col("sector") == place).then(of_sector).otherwise(date)
    return frame.with_columns(trade_date=date).drop("sector")


def _trade_dates(ts_event: pl.Series, calendars: Sequence[Calendar | None]) -> list[pl.Series]:
    """Return the trade date of each bar by each calendar."""
    is_new = (ts_event != ts_event.shift()).fill_null(True)
    if is_new.sum() * 2 > len(ts_event):
        return [trade_date_of(ts_event, calendar) for calendar in calendars]
    # A file of many symbols is sorted by time, so that most bars start with the one before.
    starts, place = ts_event.filter(is_new), is_new.cum_sum() - 1
    return [trade_date_of(starts, calendar).gather(place) for calendar in calendars]


def _resolve_datasets(frame: pl.DataFrame, files: Sequence[FileContext]) -> pl.DataFrame:
    """Add the dataset: the one stated, else the publisher's.

    A record whose publisher does not belong to the stated dataset gets a fault: neither a header
    nor metadata.json can vouch for what the record denies.
    """
    stated = {file.file_no: file.dataset for file in files}
    by_publisher = {
        number: dataset_of_publisher(number)
        for number in frame["publisher_id"].drop_nulls().unique().to_list()
    }
    names = set(stated.values())
    known = {name for name in names if name is not None and is_dataset_of_databento(name)}
    if len(names) == 1 and (not known or set(by_publisher.values()) <= known):
        one = names.pop()
        if one is not None:
            return frame.with_columns(dataset=pl.lit(one))
    of_file = pl.col("file_no").replace_strict(stated, return_dtype=pl.String)
    of_publisher = pl.col("publisher_id").replace_strict(
        by_publisher, default=None, return_dtype=pl.String
    )
    is_denied = (
        of_file.is_in(list(known))
        & pl.col("publisher_id").is_not_null()
        & of_publisher.ne_missing(of_file)
    )
    denial = pl.format(
        "publisher {} is of {}, not of {}",
        "publisher_id",
        of_publisher.fill_null("no dataset of Databento's"),
        of_file,
    )
    return frame.with_columns(
        dataset=pl.coalesce(of_file, of_publisher),
        fault=pl.coalesce("fault", pl.when(is_denied).then(denial)),
    )
