"""Training targets: what holding the front contract earns after a row, rolled at each roll.

A target is exp(sum of log returns) - 1. Each return is of one contract: its own close over its own
prior close. Nothing is filled, and no return spans two contracts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from cbi_assets.market.continuous import choose_active, rank_candidates
from cbi_assets.market.session_bars import INTRADAY
from cbi_assets.market.sessions import Calendar, session_closes, trade_dates

SESSION: Final = "session"
UTC_DAY: Final = "utc_day"

NOT_YET: Final = "not yet"
ROLL: Final = "roll step unknown"
GAP: Final = "gap"
BREAK: Final = "session break"
NOT_POSITIVE: Final = "price not positive"
REASONS: Final = (NOT_YET, ROLL, GAP, BREAK, NOT_POSITIVE)
"""How `target_missing` begins."""

_REASON_OF: Final = (None, ROLL, GAP, NOT_POSITIVE)
_KEY: Final = ["root", "trade_date"]
_UTC: Final = pl.Datetime("us", "UTC")

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Steps:
    """One root's daily returns by trade date, from its first session to its newest.

    Attributes
    ----------
    root : str
        The root.
    dates : tuple of datetime.date
        Its sector's trade dates from its first session to its newest.
    later : tuple of datetime.date
        The trade dates after them.
    calendar : Calendar
        Its sector.
    closes : pl.DataFrame
        trade_date, close (native units) and contract of the active session, for `dates` that have
        one: the unadjusted series.
    symbols : pl.DataFrame
        trade_date, symbol, contract (the session's last) and rank of the symbols whose bars make a
        session, 0 preferred.
    by_kind : Mapping[str, pl.DataFrame]
        For SESSION and for UTC_DAY, one row per date: contract (null if no session), log_return,
        reason (a place in _REASON_OF; 0 if the return is known) and reason_date (place in `dates`).
    """

    root: str
    dates: tuple[dt.date, ...]
    later: tuple[dt.date, ...]
    calendar: Calendar
    closes: pl.DataFrame
    symbols: pl.DataFrame
    by_kind: Mapping[str, pl.DataFrame]


def no_symbols() -> pl.DataFrame:
    """Return `Steps.symbols` of a root without sessions."""
    kinds = {"trade_date": pl.Date, "symbol": pl.String, "rank": pl.Int8, "contract": pl.String}
    return pl.DataFrame(schema=kinds)


def steps_of(
    root: str, sessions: pl.DataFrame, front_months: pl.DataFrame, calendar: Calendar
) -> Steps | None:
    """Compute a root's daily returns, each of one contract; None if it has no session.

    Parameters
    ----------
    root : str
        The root.
    sessions : pl.DataFrame
        root, trade_date, symbol, contract, contract_key, close, built_from of the root's outrights
        and continuous symbols.
    front_months : pl.DataFrame
        `Chain.front_months` of these sessions.
    calendar : Calendar
        The root's sector.
    """
    active = choose_active(sessions, front_months)
    if active.is_empty():
        return None
    dates = trade_dates(calendar, active["trade_date"].min(), active["trade_date"].max())  # type: ignore[arg-type]
    is_intraday = pl.col("built_from").is_in(INTRADAY)
    kinds = {SESSION: is_intraday, UTC_DAY: ~is_intraday}
    return Steps(
        root=root,
        dates=tuple(dates),
        later=tuple(trade_dates(calendar, dates[-1] + dt.timedelta(days=1))),
        calendar=calendar,
        closes=active.select("trade_date", "close", contract="contract_key"),
        symbols=rank_candidates(sessions.filter(is_intraday), front_months).select(
            "trade_date", "symbol", "rank", contract="contract_key"
        ),
        by_kind={
            name: _returns(sessions.filter(kind), front_months, dates)
            for name, kind in kinds.items()
        },
    )


def _returns(
    sessions: pl.DataFrame, front_months: pl.DataFrame, dates: Sequence[dt.date]
) -> pl.DataFrame:
    """Return contract, log_return, reason and reason_date of each date, of sessions of one kind."""
    active = choose_active(sessions, front_months).select(
        "trade_date", "close", contract="contract_key"
    )
    # A contract's own symbol first: a continuous one may have had it for a part of the session.
    own = (
        sessions.select("symbol", contract="contract_key", prior="trade_date", prior_close="close")
        .sort(pl.col("symbol").str.contains(".", literal=True), "symbol")
        .unique(["contract", "prior"], keep="first", maintain_order=True)
        .drop("symbol")
    )
    place = pl.int_range(pl.len(), dtype=pl.Int64)
    found = (
        pl.DataFrame({"trade_date": dates}, schema={"trade_date": pl.Date})
        .with_columns(place=place, prior=pl.col("trade_date").shift(1))
        .join(active, on="trade_date", how="left", maintain_order="left")
        .join(own, on=["contract", "prior"], how="left", maintain_order="left")
    )
    has_prior = pl.col("contract").shift(1).is_not_null()
    is_positive = (pl.col("close") > 0) & (pl.col("prior_close") > 0)
    reason = (
        pl.when(pl.col("close").is_null() | ~has_prior)
        .then(2)
        .when(pl.col("prior_close").is_null())
        .then(1)
        .when(~is_positive)
        .then(3)
        .otherwise(0)
    )
    # A date whose prior date has no session lacks that one's close: the gap is the prior date's.
    is_after_gap = pl.col("contract").is_not_null() & ~has_prior & (pl.col("place") > 0)
    return found.select(
        "contract",
        pl.when(reason == 0)
        .then((pl.col("close") / pl.col("prior_close")).log())
        .alias("log_return"),
        reason.cast(pl.Int8).alias("reason"),
        (pl.col("place") - is_after_gap.cast(pl.Int64)).alias("reason_date"),
    )


def daily_targets(rows: pl.DataFrame, steps: Steps, horizon: int) -> pl.DataFrame:
    """Compute the targets of a root's rows, `horizon` trade dates ahead.

    All closes of a target are of one kind: the sessions' (1m or 1h bars), else, if a return of
    these is unknown, the vendor's UTC days'.

    Parameters
    ----------
    rows : pl.DataFrame
        data_date: trade dates that have a session, unique, in any order.
    steps : Steps
        The root's returns.
    horizon : int
        Trade dates ahead, at least 1.

    Returns
    -------
    pl.DataFrame
        data_date and TARGET_COLUMNS, in the order of `rows`. A target is a fraction: 0.01 is one
        per cent. `target_missing` says why it is null: `not yet`, or what is unknown and on which
        date first. `target_known_at` (UTC) is null if the target will never be known.
        `target_unadjusted` is the close on target_date over that of the row, less 1, of whichever
        contracts these are of.
    """
    place = np.searchsorted(np.array(steps.dates, "datetime64[D]"), rows["data_date"].to_numpy())
    end = place + horizon
    every = (*steps.dates, *steps.later)
    known = end < len(steps.dates)
    windows = {kind: _Windows.of(steps.by_kind[kind], place, end) for kind in (SESSION, UTC_DAY)}
    session, day = windows[SESSION], windows[UTC_DAY]
    from_session = known & session.is_complete
    from_day = known & ~from_session & day.is_complete
    # If either kind lacks nothing up to now, the target is known one day.
    waits = ~known & (session.is_complete | day.is_complete)
    own = session.has_entry  # of two that lack something, the row's own kind says what
    found = from_session | from_day
    target = np.where(from_session, session.total, day.total)
    shown = np.where(found, from_session, own)
    reason = np.where(own, session.reason, day.reason)
    reason_date = np.where(own, session.reason_date, day.reason_date)
    missing = [
        None if is_found else NOT_YET if is_waiting else f"{_REASON_OF[why]} on {steps.dates[date]}"
        for is_found, is_waiting, why, date in zip(
            found.tolist(), waits.tolist(), reason.tolist(), reason_date.tolist(), strict=True
        )
    ]
    frame = rows.select("data_date").with_columns(
        pl.Series("target", np.expm1(target), pl.Float64),
        pl.Series("target_missing", missing, pl.String),
        pl.Series("target_date", [every[n] if n < len(every) else None for n in end], pl.Date),
        pl.Series("target_closes", np.where(shown, SESSION, UTC_DAY).tolist(), pl.String),
        pl.lit(horizon, pl.Int64).alias("horizon"),
        *(
            pl.when(pl.Series(shown))
            .then(getattr(session, name))
            .otherwise(getattr(day, name))
            .alias(name)
            for name in ("entry_contract", "exit_contract", "rolls_between")
        ),
    )
    closes = steps.closes.select("trade_date", "close")
    frame = (
        frame.join(
            closes, left_on="data_date", right_on="trade_date", how="left", maintain_order="left"
        )
        .join(
            closes.rename({"close": "exit_close"}),
            left_on="target_date",
            right_on="trade_date",
            how="left",
            maintain_order="left",
        )
        .with_columns(
            pl.when(pl.Series(found)).then("target").alias("target"),
            pl.when(pl.col("close") != 0)
            .then(pl.col("exit_close") / pl.col("close") - 1)
            .alias("target_unadjusted"),
            known_on_session=session_closes(frame["target_date"], steps.calendar),
            known_on_day=pl.col("target_date").dt.offset_by("1d").cast(_UTC),
        )
    )
    is_session = pl.col("target_closes") == SESSION
    after_both = pl.max_horizontal("known_on_session", "known_on_day")
    return frame.with_columns(
        pl.when(pl.Series(found | waits))
        .then(pl.when(is_session).then("known_on_session").otherwise(after_both))
        .alias("target_known_at")
    ).select("data_date", *TARGET_COLUMNS)


TARGET_COLUMNS: Final = (
    "target",
    "target_missing",
    "target_unadjusted",
    "target_date",
    "target_known_at",
    "target_closes",
    "horizon",
    "entry_contract",
    "exit_contract",
    "rolls_between",
)


@dataclass(frozen=True)
class _Windows:
    """What the returns of one kind say of windows (place, end], as far as there are dates."""

    is_complete: npt.NDArray[np.bool_]
    has_entry: npt.NDArray[np.bool_]
    total: npt.NDArray[np.float64]
    reason: npt.NDArray[np.int8]
    reason_date: Ints
    entry_contract: pl.Series
    exit_contract: pl.Series
    rolls_between: pl.Series

    @classmethod
    def of(cls, returns: pl.DataFrame, place: Ints, end: Ints) -> _Windows:
        count = returns.height
        reason = returns["reason"].to_numpy()
        # The first date from each on whose return is unknown; `count` if there is none.
        positions = np.where(reason > 0, np.arange(count), count)
        following = np.append(np.minimum.accumulate(positions[::-1])[::-1], count)
        first = following[np.minimum(place + 1, count)]
        last = np.minimum(end, count - 1)
        contracts = returns["contract"]
        has_entry = contracts.is_not_null().to_numpy()[place]
        is_complete = has_entry & (first > last)
        values = returns["log_return"].fill_null(0.0).to_numpy()
        total = np.zeros(len(place))
        for step in range(1, int((end - place).max(initial=0)) + 1):
            # One window is summed in date order, whatever other windows there are.
            inside = place + step
            total += np.where(inside < count, values[np.minimum(inside, count - 1)], 0.0)
        unknown = np.minimum(first, count - 1)
        named = contracts.forward_fill()
        is_roll = (named != named.shift(1)).fill_null(False).to_numpy().cumsum()
        known_end = end < count
        exit_contract = contracts.gather(last)
        rolls = pl.Series(is_roll[last] - is_roll[place], dtype=pl.Int64)
        hidden = pl.Series(known_end & has_entry)
        return cls(
            is_complete,
            has_entry,
            total,
            reason[unknown],
            returns["reason_date"].to_numpy()[unknown],
            contracts.gather(place),
            pl.select(pl.when(pl.Series(known_end)).then(exit_contract)).to_series(),
            pl.select(pl.when(hidden).then(rolls)).to_series(),
        )


def intraday_targets(bars: pl.DataFrame, horizon: int, newest: dt.datetime) -> pl.DataFrame:
    """Compute the targets of a root's bars, `horizon` bars ahead.

    A bar is the next one only if it starts where the one before ends: never across a session break.

    Parameters
    ----------
    bars : pl.DataFrame
        trade_date, ts_event, bar_end (UTC), contract, close (native units), others allowed: one
        row per bar_end, sorted by it.
    horizon : int
        Bars ahead, at least 1.
    newest : datetime.datetime
        The end of the root's newest bar of this size: what follows it is not known yet.

    Returns
    -------
    pl.DataFrame
        The columns of `bars` and TARGET_COLUMNS. `target_known_at` is the end of the last bar;
        `target_closes` is `session`. Null, as `target_date` and `exit_contract`, if that bar does
        not exist.
    """
    places: dict[str, pl.Expr] = {}
    total, reason = pl.lit(0.0), pl.lit(None, pl.String)
    rolls = pl.lit(0, pl.Int64)
    for step in range(1, horizon + 1):
        before = {name: pl.col(name).shift(1 - step) for name in _BAR}
        after = {name: pl.col(name).shift(-step) for name in _BAR}
        day = before["trade_date"].cast(pl.String)
        why = (
            pl.when(after["bar_end"].is_null() & (before["bar_end"] >= newest))
            .then(pl.lit(NOT_YET))
            .when(after["trade_date"].ne_missing(before["trade_date"]))
            .then(pl.format("{} on {}", pl.lit(BREAK), day))
            .when(after["ts_event"] != before["bar_end"])
            .then(pl.format("{} on {}", pl.lit(GAP), day))
            .when(after["contract"] != before["contract"])
            .then(pl.format("{} on {}", pl.lit(ROLL), after["trade_date"].cast(pl.String)))
            .when(~((before["close"] > 0) & (after["close"] > 0)).fill_null(False))
            .then(pl.format("{} on {}", pl.lit(NOT_POSITIVE), after["trade_date"].cast(pl.String)))
        )
        reason = pl.coalesce(reason, why)
        total = total + (after["close"] / before["close"]).log()
        rolls = rolls + (after["contract"] != before["contract"]).cast(pl.Int64)
        places = after
    is_known = reason.is_null()
    exit_close = places["close"]
    return bars.with_columns(
        reason.alias("target_missing"),
        pl.when(is_known).then(total.exp() - 1).alias("target"),
        pl.when(pl.col("close") != 0)
        .then(exit_close / pl.col("close") - 1)
        .alias("target_unadjusted"),
        places["trade_date"].alias("target_date"),
        pl.when(is_known).then(places["bar_end"]).alias("target_known_at"),
        pl.lit(SESSION).alias("target_closes"),
        pl.lit(horizon, pl.Int64).alias("horizon"),
        pl.col("contract").alias("entry_contract"),
        places["contract"].alias("exit_contract"),
        rolls.alias("rolls_between"),
    ).select(*bars.columns, *TARGET_COLUMNS)


_BAR: Final = ("trade_date", "ts_event", "bar_end", "contract", "close")
