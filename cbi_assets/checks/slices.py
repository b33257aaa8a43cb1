"""The slices of a raw table, each a month of one root, and what was found in them.

A bar's key is within one slice, so what a check finds there is the same until the slice changes.
`ops.check_slices` keeps it. A slice is checked again if the ledger says something else of its bars
than when it was checked, or if a rule has changed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import polars as pl

from cbi_assets.ledger.bar_ledger import read_bar_ledger
from cbi_assets.market.bars import Timeframe
from cbi_assets.tables import CHECK_SLICES
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.merge import merge_rows

SliceKey = tuple[str, dt.date]
"""A root and the first day of a month."""

CHANGED: Final = "changed"
"""The finding that a slice's bars have changed, and the ledger has not."""

_LONGEST_SPAN: Final = 24
"""Months that one statement checks at most: its windows must fit into memory."""

_AS_JSON: Final = ("findings", "symbols", "files", "days", "closes", "published")

_GAP: Final = 3
"""Months between two that are owed, which are checked as well to spare a statement."""


@dataclass(frozen=True)
class Slice:
    """What is known of a slice.

    Parameters
    ----------
    root, month : str, date
        Its key.
    rule : str
        A hash of the rules that it was checked by.
    ledger : str
        A hash of what the ledger said of its bars.
    content : str
        A hash of how it was computed, and of its bars; empty without bars.
    bars : int
        Their number.
    first_ts_event, last_ts_event : datetime, optional
        Start of the first and of the last one.
    findings : dict
        By check with offenders: their number (`offenders`), and up to 20 of them (`sample`).
    symbols : list of str
        The vendor's symbols.
    files : list of (dataset, file, bars)
        Where the bars are from.
    days : dict
        Days from the first of the month to each trade date, by `kind symbol`; outrights have no
        symbol there. Of a training table by days from that date to the last that its rows' targets
        see, empty if they have none.
    closes : list of (day, bars, volume, close)
        By days from the first of the month to each trade date: its bars, and the volume and close
        of its most traded outright or continuous symbol; 0 and no close if there is none.
    published : list of (dataset, series, trade date, UTC day, bars), optional
        Both dates as days from the first of the month; the series is `outright` or a continuous
        symbol. None in what earlier versions stored.
    """

    root: str
    month: dt.date
    rule: str
    ledger: str
    content: str = ""
    bars: int = 0
    first_ts_event: dt.datetime | None = None
    last_ts_event: dt.datetime | None = None
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)
    symbols: list[str] = field(default_factory=list)
    files: list[tuple[str, str, int]] = field(default_factory=list)
    days: dict[str, list[int]] = field(default_factory=dict)
    closes: Sequence[tuple[int, int, float, float | None]] = field(default_factory=list)
    published: Sequence[tuple[str, str, int, int, int]] | None = field(default_factory=list)

    @property
    def key(self) -> SliceKey:
        """Root and month."""
        return self.root, self.month

    @property
    def offenders(self) -> int:
        """The offenders of all checks."""
        return sum(found["offenders"] for found in self.findings.values())


class _StoredRows(Sequence[Any]):
    """Rows stored as JSON, which are read when they are needed: most commands need few of them."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def rows(self) -> list[tuple[Any, ...]]:
        """The rows."""
        return [tuple(each) for each in json.loads(self._text)]

    def __getitem__(self, place: int | slice) -> Any:
        return self.rows[place]

    def __len__(self) -> int:
        return len(self.rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self.rows == list(other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Span:
    """Months that one statement reads: from `first` up to but not including `end`, UTC."""

    first: dt.datetime
    end: dt.datetime

    def contains(self, month: dt.date) -> bool:
        """Return whether the span includes a month."""
        return self.first.date() <= month < self.end.date()


def update_slices(
    stored: Mapping[SliceKey, Slice],
    ledger: Mapping[SliceKey, str],
    rules: Mapping[str, str],
    spans: Sequence[Span] | None,
    read: Callable[[Span], Mapping[SliceKey, Slice]],
    store: Callable[[Iterable[Slice], Collection[SliceKey]], None],
) -> dict[SliceKey, Slice]:
    """Read slices again, store what was found, and return all slices of a table.

    Parameters
    ----------
    stored, ledger, rules : mappings
        The stored slices, what the ledger says of each now, and the rules of each root.
    spans : sequence of Span, optional
        What to read (default: what is owed).
    read : callable
        Returns the slices with bars in a span, without `rule` and `ledger`.
    store : callable
        Stores slices, and deletes those of the given keys.
    """
    is_full = spans is not None
    spans = owed_spans(stored, ledger, rules) if spans is None else spans
    fresh: dict[SliceKey, Slice] = {}
    for span in spans:
        found = read(span)
        # An empty slice is stored too, so that it is not owed.
        empty = {key: Slice(*key, "", "") for key in ledger if span.contains(key[1])}
        fresh |= empty | dict(found)
    for key, piece in fresh.items():
        piece = replace(piece, rule=rules.get(piece.root, ""), ledger=ledger.get(key, ""))
        before = stored.get(key)
        if before and before.ledger == piece.ledger and _differ(before.content, piece.content):
            changed = {CHANGED: {"offenders": max(piece.bars, 1), "sample": []}}
            findings = piece.findings | changed
            piece = replace(piece, content=before.content, findings=findings)
        fresh[key] = piece
    gone = {
        key
        for key in stored.keys() - fresh.keys()
        if is_full or any(span.contains(key[1]) for span in spans)
    }
    store(fresh.values(), gone)
    kept = {key: piece for key, piece in stored.items() if key not in gone}
    return dict(sorted((kept | fresh).items()))


def _differ(before: str, now: str) -> bool:
    """Return whether hashes of bars differ that were computed in the same way."""
    return before != now and before.partition("-")[0] == now.partition("-")[0]


class SliceBook:
    """The stored slices of all tables, and what the ledger says of all bars, each read once."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._known: dict[str, dict[SliceKey, Slice]] = {}

    @cached_property
    def _rows(self) -> pl.DataFrame:
        return self._warehouse.query(SLICES.sql)

    @cached_property
    def bar_ledger(self) -> pl.DataFrame:
        """The frame of `read_bar_ledger`, of all timeframes."""
        return read_bar_ledger(self._warehouse)

    def rows(self, table_id: str) -> pl.DataFrame:
        """Return the stored slices of a table as they are stored."""
        return self._rows.filter(table_id=table_id)

    def stored(self, table_id: str) -> dict[SliceKey, Slice]:
        """Return the slices of a table."""
        if table_id not in self._known:
            self._known[table_id] = _parse_slices(self.rows(table_id))
        return self._known[table_id]

    def ledger(self, timeframe: Timeframe) -> dict[SliceKey, str]:
        """Return a hash of what the ledger says of each slice that it has bars in."""
        return _by_slice(self.bar_ledger.filter(timeframe=timeframe))

    def keep(self, table_id: str, slices: dict[SliceKey, Slice]) -> dict[SliceKey, Slice]:
        """Remember the slices of a table, which were just stored, and return them."""
        self._known[table_id] = slices
        return slices


_COLUMNS: Final = [name for name in CHECK_SLICES.column_names if name in Slice.__annotations__]
SLICES: Final = Statement(f"SELECT table_id, {', '.join(_COLUMNS)} FROM `{CHECK_SLICES.id}`")
"""What a SliceBook asks for the stored slices."""


def read_slices(warehouse: Warehouse, table_id: str) -> dict[SliceKey, Slice]:
    """Return the stored slices of a table."""
    sql = f"{SLICES.sql} WHERE table_id = @table_id"
    return _parse_slices(warehouse.query(sql, {"table_id": table_id}))


def _parse_slices(rows: pl.DataFrame) -> dict[SliceKey, Slice]:
    found = {}
    for row in rows.select(_COLUMNS).iter_rows(named=True):
        # earlier versions stored neither of these
        row["closes"] = _StoredRows(row["closes"] or "[]")
        is_known = row["published"] not in (None, "null")
        row["published"] = _StoredRows(row["published"]) if is_known else None
        row["findings"] = json.loads(row["findings"], object_hook=_revive)
        row["symbols"], row["days"] = json.loads(row["symbols"]), json.loads(row["days"])
        row["files"] = [tuple(each) for each in json.loads(row["files"])]
        found[row["root"], row["month"]] = Slice(**row)
    return found


def store_slices(
    warehouse: Warehouse,
    checked: Mapping[str, Iterable[Slice]],
    removed: Mapping[str, Collection[SliceKey]],
    checked_at: dt.datetime,
) -> None:
    """Replace the stored slices with those just checked, and delete `removed`; both by table."""
    rows = [
        vars(piece)
        | {name: _encode(vars(piece)[name]) for name in _AS_JSON}
        | {
            "table_id": table_id,
            "passed": piece.offenders == 0,
            "offenders": piece.offenders,
            "checked_at": checked_at,
        }
        for table_id, pieces in checked.items()
        for piece in pieces
    ]
    gone = {(table_id, *key) for table_id, keys in removed.items() for key in keys}
    if not rows and not gone:
        return
    fresh = pl.DataFrame(rows, schema=CHECK_SLICES.polars_schema)
    keys = pl.DataFrame(
        sorted(gone - set(fresh.select(CHECK_SLICES.key).iter_rows())),
        schema=CHECK_SLICES.schema_of(*CHECK_SLICES.key),
        orient="row",
    )
    staged = warehouse.stage_frame("slices_checked", pl.concat([fresh, keys], how="diagonal"))
    warehouse.transact([merge_rows(CHECK_SLICES, staged, "fresh.rule IS NULL")])


def _by_slice(ledger: pl.DataFrame) -> dict[SliceKey, str]:
    rows = ledger.select("root", "month", "ledger").iter_rows()
    return {(root, month): text for root, month, text in rows}


def owed_spans(
    stored: Mapping[SliceKey, Slice], ledger: Mapping[SliceKey, str], rules: Mapping[str, str]
) -> list[Span]:
    """Return the spans of months in which a slice must be checked again.

    The first bar of a month is compared with the last one before it, so a month that follows one
    that changed is owed too.
    """
    owed = {
        key[1]
        for key in stored.keys() | ledger.keys()
        if (piece := stored.get(key)) is None
        or piece.ledger != ledger.get(key)
        or piece.rule != rules.get(piece.root)
    }
    newest = max((month for _, month in ledger), default=dt.date.min)
    return spans_of(owed | {after for month in owed if (after := _next(month)) <= newest})


def whole_spans(first: dt.datetime, last: dt.datetime) -> list[Span]:
    """Return spans that include all months from `first` to `last`."""
    return spans_of(set(_months(first.date(), last.date())))


def digest(*texts: str) -> str:
    """Return a hash of texts."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:32]


def spans_of(months: Collection[dt.date]) -> list[Span]:
    """Return the fewest spans that include the months."""
    numbers = sorted(month.year * 12 + month.month - 1 for month in months)
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number - spans[-1][1] <= _GAP and number - spans[-1][0] < _LONGEST_SPAN:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return [Span(_midnight(first), _midnight(last + 1)) for first, last in spans]


def _midnight(number: int) -> dt.datetime:
    return dt.datetime(number // 12, number % 12 + 1, 1, tzinfo=dt.UTC)


def _months(first: dt.date, last: dt.date) -> Iterable[dt.date]:
    month = first.replace(day=1)
    while month <= last:
        yield month
        month = _next(month)


def _next(month: dt.date) -> dt.date:
    return (month + dt.timedelta(days=31)).replace(day=1)


def _freeze(value: object) -> Any:
    if isinstance(value, _StoredRows):
        return value.rows
    if isinstance(value, dt.datetime):
        return {"timestamp": value.isoformat()}
    if isinstance(value, dt.date):
        return {"date": value.isoformat()}
    raise TypeError(f"no JSON for {value!r}")


_encode = json.JSONEncoder(default=_freeze).encode


def _revive(found: dict[str, Any]) -> Any:
    match found:
        case {"timestamp": str(text), **rest} if not rest:
            return dt.datetime.fromisoformat(text)
        case {"date": str(text), **rest} if not rest:
            return dt.date.fromisoformat(text)
    return found
