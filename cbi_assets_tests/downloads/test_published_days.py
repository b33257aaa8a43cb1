"""Published days come from the checked slices, and from the bars only where those are behind."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbi_assets.checks.slices import SliceBook
from cbi_assets.downloads.contract_windows import published_days
from cbi_assets.downloads.published_days import read_published_days
from cbi_assets.session import Project, open_session
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.duckdb import DuckDBWarehouse
from cbi_assets_tests.helpers import NOW, bars, dbn_file, load_once, open_warehouse, put_job
from cbi_assets_tests.load.lines import put_lines, record

JANUARY, FEBRUARY = dt.date(2025, 1, 1), dt.date(2025, 2, 1)


def days(project: Project) -> list[tuple[object, ...]]:
    with open_warehouse(project) as warehouse:
        return read_published_days(warehouse, SliceBook(warehouse), "1h", ["GLBX.MDP3"]).rows()


@pytest.mark.both_warehouses(quick=True)
def test_days_are_those_of_the_bars_whether_slices_know_them_or_not(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = bars(3, start=dt.datetime(2025, 1, 30, 22, tzinfo=dt.UTC))
    late = bars(2, start=dt.datetime(2025, 1, 31, 21, tzinfo=dt.UTC))
    put_job(drive, {"a.ohlcv-1h.dbn.zst": dbn_file(np.concatenate([hours, late]))})
    load_once(project, now=dt.datetime(2025, 2, 3, 12, tzinfo=dt.UTC))
    thursday, friday = dt.date(2025, 1, 30), dt.date(2025, 1, 31)
    expected = [
        # 22:00 UTC is before 17:00 in Chicago, 23:00 is not.
        ("ZL", "ZL.v.0", thursday, thursday, 1),
        ("ZL", "ZL.v.0", friday, thursday, 1),
        ("ZL", "ZL.v.0", friday, friday, 3),
    ]
    scanned: list[object] = []
    query = DuckDBWarehouse.query

    def counting(self: DuckDBWarehouse, sql: str, params: object = None) -> pl.DataFrame:
        if sql.startswith("-- Count the published bars"):
            assert isinstance(params, dict)
            scanned.append((params["first"].date(), params["end"].date()))
        return query(self, sql, params)  # type: ignore[arg-type]

    monkeypatch.setattr(DuckDBWarehouse, "query", counting)
    assert days(project) == expected
    assert scanned == []
    with open_session(
        project, now=NOW
    ) as session:  # no contract's bars, only the continuous symbol's
        assert published_days(session, "ZL", "1h", [thursday, friday]) == {}
    forget = "UPDATE `ops.check_slices` SET published = NULL WHERE root = 'ZL'"
    with open_warehouse(project) as warehouse:
        warehouse.transact([Statement(forget)])
    assert days(project) == expected
    if project.settings.cbi_warehouse == "duckdb":
        assert scanned == [(JANUARY, FEBRUARY)]
    monkeypatch.undo()  # for `--meanings`, which compares what the project itself asks
    assert days(project) == expected


@pytest.mark.both_warehouses
def test_contracts_days_are_those_whose_midnight_utc_is_in_the_trade_date_of_a_bar(
    project: Project, drive: Path
) -> None:
    monday, tuesday = dt.date(2025, 1, 6), dt.date(2025, 1, 7)
    # Monday 23:00 UTC is 17:00 in Chicago: Tuesday's session, on a UTC day that Monday's began in.
    bars_at = [(8, "MESH5"), (8, "MESM5"), (9, "MESM5")]
    put_lines(drive, [record(place, symbol) for place, symbol in bars_at])
    load_once(project)
    with open_session(project, now=NOW) as session:
        found = published_days(session, "MES", "1h", [monday, tuesday])
    assert found == {"MESM2025": {tuesday}}


texts = st.sampled_from(["GLBX.MDP3", "outright", "ZL.v.0", 'a "b", [c]', "é"])
kept_days = st.lists(
    st.tuples(texts, texts, st.integers(-3, 40), st.integers(0, 30), st.integers(0, 2**40)),
    max_size=5,
)


@given(st.dictionaries(st.sampled_from([JANUARY, FEBRUARY]), kept_days | st.none(), min_size=1))
def test_stored_days_are_those_that_their_json_lists(
    kept: dict[dt.date, list[tuple[str, str, int, int, int]] | None],
) -> None:
    rows = [("ZL", month, "the same", json.dumps(days)) for month, days in kept.items()]
    names = {"root": pl.String, "month": pl.Date, "ledger": pl.String, "published": pl.String}
    slices = pl.DataFrame(rows, schema=names, orient="row")
    ledger = slices.filter(pl.col("published") != "null").drop("published")
    book = SimpleNamespace(
        rows=lambda table_id: slices, bar_ledger=ledger.with_columns(timeframe=pl.lit("1h"))
    )
    datasets = {day[0] for days in kept.values() for day in days or ()}
    found = read_published_days(
        cast(Warehouse, None), cast(SliceBook, book), "1h", sorted(datasets)
    )
    expected: Counter[tuple[str, str, dt.date, dt.date]] = Counter()
    for month, days in kept.items():
        for _, series, trade_date, utc_day, count in days or ():
            day = (month + dt.timedelta(n) for n in (trade_date, utc_day))
            expected["ZL", series, *day] += count  # type: ignore[index]
    assert {row[:4]: row[4] for row in found.iter_rows()} == dict(expected)
