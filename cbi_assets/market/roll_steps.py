"""Steps between the contracts of a continuous series, from both contracts' own closes.

Every step to a row uses only sessions that closed before it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import polars as pl

from cbi_assets.market.session_bars import INTRADAY, contract_sessions

Method = Literal["difference", "ratio"]

Closes = dict[tuple[str, dt.date], tuple[float | None, float | None]]
"""A contract's closes on a trade date: of 1m or 1h bars, and of 1d bars."""

_KEY = ["root", "trade_date"]


def is_contract(key: pl.Expr) -> pl.Expr:
    """Return whether a contract_key names a contract, rather than a symbol and its instrument."""
    return ~key.str.contains("#", literal=True)


@dataclass(frozen=True)
class Roll:
    """One roll of the front-month chain, decided by the closes of `decided_on`."""

    date: dt.date
    decided_on: dt.date
    from_contract: str
    to_contract: str


@dataclass(frozen=True)
class Run:
    """Consecutive rows of one contract, first and last date included."""

    contract: str
    first: dt.date
    last: dt.date


def adjust(
    rows: pl.DataFrame, sessions: pl.DataFrame, rolls: pl.DataFrame, method: Method
) -> pl.DataFrame:
    """Return the rows whose steps are known, with `back_adj`: the sum or product of all steps.

    The step from one row's contract to another's is that of the chain's rolls between the two
    dates, if they lead from the one to the other. Else it is the step between both contracts'
    closes on the date of the earlier row. The two closes of a step are of sessions of the same
    kind: both of 1m or 1h bars, else both of 1d bars. Rows to which no step is known are left out;
    the series goes on with the next row to which one is.

    Parameters
    ----------
    rows : pl.DataFrame
        root, date, active_contract and any others; one row per root and date, sorted.
    sessions : pl.DataFrame
        root, symbol, contract_key, trade_date, close, built_from: where closes are looked up.
    rolls : pl.DataFrame
        `Chain.rolls` of the same roots.
    method : "difference" or "ratio"
        A step is `from_close - to_close`, or `from_close / to_close` of positive closes.

    Returns
    -------
    pl.DataFrame
        Columns of `rows`, `back_adj` included; sorted by root and date.
    """
    numbered = rows.with_columns(run=pl.col("active_contract").rle_id().over("root"))
    runs = numbered.group_by("root", "run", "active_contract", maintain_order=True).agg(
        first=pl.col("date").min(), last=pl.col("date").max()
    )
    decided = rolls.select("root", trade_date="decided_on")
    dates = pl.concat([decided, runs.select("root", trade_date="last")]).unique()
    closes = _closes(sessions.join(dates, on=_KEY, how="semi"))
    by_root = {
        root: [Roll(*values) for _, *values in part.iter_rows()]
        for (root,), part in rolls.sort("root", "roll_date")
        .select("root", "roll_date", "decided_on", "from_contract", "to_contract")
        .partition_by("root", as_dict=True)
        .items()
    }
    found: list[tuple[str, int, float]] = []
    for (root,), part in runs.partition_by("root", as_dict=True, maintain_order=True).items():
        own = [Run(*values) for values in part.select("active_contract", "first", "last").rows()]
        steps = _accumulate(own, by_root.get(root, []), closes.get(root, {}), method)
        found += [(root, number, value) for number, value in zip(part["run"], steps, strict=True)
                  if value is not None]  # fmt: skip
    schema = {"root": pl.String, "run": pl.UInt32, "back_adj": pl.Float64}
    adjustments = pl.DataFrame(found, schema=schema, orient="row")
    return (
        numbered.drop("back_adj", strict=False)
        .join(adjustments.cast({"run": numbered.schema["run"]}), on=["root", "run"])
        .select(rows.columns)
        .sort("root", "date")
    )


def _accumulate(
    runs: list[Run], rolls: list[Roll], closes: Closes, method: Method
) -> Iterator[float | None]:
    """Yield each run's adjustment, None if no step to it is known."""
    value = 0.0 if method == "difference" else 1.0
    before: Run | None = None
    for run in runs:
        if before is not None and run.contract != before.contract:
            direct = (before.contract, run.contract, before.last)
            for legs in (_chain_legs(before, run, rolls), [direct]):
                known = [s for leg in legs if (s := _step(closes, *leg, method)) is not None]
                if legs and len(known) == len(legs):
                    break
            else:
                yield None
                continue
            for step in known:
                value = value + step if method == "difference" else value * step
        before = run
        yield value


def _chain_legs(before: Run, run: Run, rolls: list[Roll]) -> list[tuple[str, str, dt.date]]:
    """Return from_contract, to_contract and date of the chain's rolls from one run to a later one.

    Empty if they do not lead from the one's contract to the other's.
    """
    between = [roll for roll in rolls if before.last < roll.date <= run.first]
    path = [before.contract, *(roll.to_contract for roll in between)]
    if path[-1] != run.contract or path[:-1] != [roll.from_contract for roll in between]:
        return []
    return [(roll.from_contract, roll.to_contract, roll.decided_on) for roll in between]


def _step(
    closes: Closes, from_contract: str, to_contract: str, date: dt.date, method: Method
) -> float | None:
    nothing = (None, None)
    pairs = zip(
        closes.get((from_contract, date), nothing),
        closes.get((to_contract, date), nothing),
        strict=True,
    )
    for from_close, to_close in pairs:
        if from_close is not None and to_close is not None:
            if method == "difference":
                return from_close - to_close
            return from_close / to_close if from_close > 0 and to_close > 0 else None
    return None


def _closes(sessions: pl.DataFrame) -> dict[str, Closes]:
    """Return the closes of every contract in `sessions`, by root."""
    is_intraday = pl.col("built_from").is_in(INTRADAY)
    found: dict[str, Closes] = {}
    rows = (
        contract_sessions(sessions.filter(is_contract(pl.col("contract_key"))))
        .group_by("root", "contract_key", "trade_date")
        # at most one session of each contract and kind
        .agg(
            pl.col("close").filter(is_intraday).max().alias("intraday"),
            pl.col("close").filter(~is_intraday).max().alias("daily"),
        )
    )
    for root, contract, date, intraday, daily in rows.iter_rows():
        found.setdefault(root, {})[contract, date] = (intraday, daily)
    return found
