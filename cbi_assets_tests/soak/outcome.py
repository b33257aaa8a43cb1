"""What must be true after mornings of troubles: every bar once, and nothing forgotten."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from cbi_assets.alerts import collect
from cbi_assets.ledger.books import books_by_file
from cbi_assets.pipeline.dead_runs import UNFINISHED, pools
from cbi_assets.session import open_session
from cbi_assets.tables import BUILT
from cbi_assets.verbs import build, check
from cbi_assets_tests.databento_api.bars import Wanted, records_of
from cbi_assets_tests.helpers import PRICE_COLUMNS, decimal_price
from cbi_assets_tests.soak.year import BOUGHT, COPIED, Year


def published(year: Year) -> pl.DataFrame:
    with open_session(year.project, now=year.daemon.now) as session:
        return session.warehouse.query(
            "SELECT symbol, ts_event, open, high, low, close, volume "
            "FROM `market_data.databento_futures_ohlcv_1h` ORDER BY symbol, ts_event"
        )


def sold(year: Year, root: str, end: dt.date) -> pl.DataFrame:
    """The vendor's bars of a root, in their last version."""
    symbol = f"{root}.v.0"
    wanted = Wanted("GLBX.MDP3", "ohlcv-1h", (symbol,), "continuous", year.first, end)
    bars = records_of(wanted, year.first, end, year.vendor.moves.get(root, {}))
    starts = bars["ts_event"].astype(np.int64) // 1000
    return pl.DataFrame(
        {
            "symbol": [symbol] * len(bars),
            "ts_event": pl.Series(starts, dtype=pl.Datetime("us", "UTC")),
            **{name: [decimal_price(raw) for raw in bars[name]] for name in PRICE_COLUMNS},
            "volume": bars["volume"].astype(np.int64),
        }
    )


def built(year: Year) -> list[pl.DataFrame]:
    """Return the built tables, without the clock."""
    with open_session(year.project, now=year.daemon.now) as session:
        frames = [session.warehouse.query(f"SELECT * FROM `{table.id}`") for table in BUILT]
    return [frame.drop("ingestion_ts", strict=False) for frame in frames]


def assert_all_is_well(year: Year) -> None:
    last = year.copied_to  # what arrived until then is loaded
    expected = pl.concat([sold(year, root, last) for root in (COPIED, BOUGHT)])
    assert_frame_equal(published(year), expected)  # each bar once, in its last version

    before = built(year)
    assert before[-1].height
    with open_session(year.project, now=year.daemon.now) as session:
        build(session, whole=True)
    for as_it_grew, as_a_whole in zip(before, built(year), strict=True):
        assert_frame_equal(as_it_grew, as_a_whole, check_row_order=False)

    instance = year.daemon.instance
    assert instance.get_runs(dg.RunsFilter(statuses=[*UNFINISHED])) == []
    assert [pool for pool in pools(instance) if pool.taken or pool.waiting] == []
    assert not year.project.home.pending.exists()

    texts = "\n".join(year.endpoint.texts)
    assert [text for text in year.expected if text not in texts] == []
    failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    final = [run for run in failed if run.tags.get("dagster/will_retry") != "true"]
    assert [run.run_id for run in final if f"Run {run.run_id[:8]} " not in texts] == []

    with open_session(year.project, now=year.daemon.now) as session:
        assert set(books_by_file(session.warehouse)["difference"]) == {0}
        failures = [r for r in check(session, full=True) if not r.passed and r.severity == "ERROR"]
        assert failures == []
        assert collect(session) == []
