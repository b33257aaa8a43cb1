"""Sessions, front months and rolls of one week, and the series that they make."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl

from cbi_assets.market.continuous import choose_active, continuous_series
from cbi_assets.market.rolls import FRONT_MONTH_COLUMNS
from cbi_assets.tables import ROLL_CALENDAR, SESSIONS

MON, TUE, WED, THU, FRI = (dt.date(2024, 3, 4) + dt.timedelta(days=n) for n in range(5))
DAYS = (MON, TUE, WED, THU, FRI)
H, K, N = "ZLH2024", "ZLK2024", "ZLN2024"

Row = dict[str, Any]


def session(date: dt.date, name: str, close: float = 40.0, built_from: str = "1h") -> Row:
    """Make a session of a contract (`ZLH2024`) or of a vendor's symbol (`ZL.v.0`, `ZL.v.0#7`).

    A symbol's instrument id is 1 unless given. The open is a quarter below the close, the high a
    half above, the low one below.
    """
    symbol, _, number = name.partition("#")
    is_vendor = "." in symbol
    return {
        "trade_date": date,
        "root": symbol.partition(".")[0] if is_vendor else symbol[:-5],
        "symbol": symbol if is_vendor else symbol[:-4] + symbol[-1],
        "contract": None if is_vendor else symbol,
        "contract_key": f"{symbol}#{number or 1}" if is_vendor else symbol,
        "is_pure": True,
        "open": close - 0.25,
        "high": close + 0.5,
        "low": close - 1,
        "close": close,
        "volume": 10,
        "vwap": None,
        "realized_vol_1h": None,
        "built_from": built_from,
        "load_ids": ["L1"],
    }


def frame(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SESSIONS.schema_of(*session(MON, H)))


def front(*contracts: str | None, root: str = "ZL") -> pl.DataFrame:
    """Make a chain's front months from Monday on, one per day."""
    rows = [(root, date, c) for date, c in zip(DAYS, contracts, strict=False) if c]
    return pl.DataFrame(rows, schema=FRONT_MONTH_COLUMNS, orient="row")


def roll(date: dt.date, left: str, entered: str, decided_on: dt.date) -> Row:
    """Make a roll whose closes and volumes are not those of any session here."""
    legs = {"from_close": 1.0, "from_volume": 1, "to_close": 99.0, "to_volume": 2}
    names = {"root": left[:-5], "from_contract": left, "to_contract": entered, "method": "volume"}
    return names | legs | {"roll_date": date, "decided_on": decided_on, "deadline": FRI}


def roll_frame(*rolls: Row) -> pl.DataFrame:
    return pl.DataFrame(list(rolls), schema=ROLL_CALENDAR.polars_schema)


def series(
    rows: list[Row],
    front_months: pl.DataFrame,
    rolls: pl.DataFrame | None = None,
    yahoo: pl.DataFrame | None = None,
) -> pl.DataFrame:
    sessions = frame(rows)
    rolls = roll_frame() if rolls is None else rolls
    return continuous_series(choose_active(sessions, front_months), sessions, rolls, yahoo)


def adjusted(found: pl.DataFrame, method: str) -> pl.DataFrame:
    return found.filter(pl.col("method") == method)
