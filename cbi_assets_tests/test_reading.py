"""Notebooks read what commands published, as of a date, and nothing that was not known then."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import cbi_assets as cbi
from cbi_assets.config.training import Folds
from cbi_assets.errors import HomeError, UsageError
from cbi_assets.session import Project, open_session
from cbi_assets.verbs import build, load, train
from cbi_assets_tests.helpers import IDS, bars, copy_home, dbn_file, mappings, put_job, query

FIRST = dt.date(2024, 9, 9)
"""A Monday. Sixty trade dates follow without a holiday of grains, but for Thanksgiving."""

NOW = dt.datetime(2024, 12, 6, 12, tzinfo=dt.UTC)
TABLE = "training.zl_training_prod_allhistory_1w"
PAGE = Path(__file__).parents[1] / "docs" / "notebook.md"


@pytest.fixture(scope="module")
def built(new_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A home with 60 trade dates of ZL, seven hours of each, and folds of few dates."""
    project, drive = copy_home(new_home, tmp_path_factory.mktemp("read"))
    sizes = project.training.model_copy(update={"folds": Folds(train=20, valid=5, test=5)})
    project = replace(project, training=sizes)
    days = [FIRST + dt.timedelta(days=n) for n in range(12 * 7)]
    sessions = [
        bars(7, start=dt.datetime(day.year, day.month, day.day, 14, tzinfo=dt.UTC), price=price)
        for n, day in enumerate(day for day in days if day.weekday() < 5)
        for price in [f"{45 + (n * 7 % 10) / 10:.2f}"]
    ]
    mapped = mappings({"ZL.v.0": [(IDS["ZL.v.0"], dt.date(2024, 9, 1), dt.date(2025, 1, 1))]})
    data = dbn_file(np.concatenate(sessions), mapped=mapped)
    put_job(drive, {"a.ohlcv-1h.dbn.zst": data}, mapped=mapped)
    with open_session(project, now=NOW) as session:
        load(session)
        build(session)
        train(session)
    return project


@pytest.fixture(autouse=True)
def _settings(built: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBI_HOME", str(built.home.root))


def test_read_returns_a_table_as_the_warehouse_has_it(built: Project) -> None:
    for table, time in (
        ("features.daily_ml_matrix", "data_date"),
        ("market_data.databento_futures_ohlcv_1h", "ts_event"),
    ):
        assert cbi.read(table).equals(query(built, f"SELECT * FROM `{table}`").sort(time))
    assert cbi.read("features.daily_ml_matrix", symbols=["ZS"]).is_empty()
    assert cbi.read("market_data.databento_futures_ohlcv_1h", symbols=["ZL.v.0"]).height == 420


def test_flat_matrix_has_the_fields_of_the_structs() -> None:
    matrix = cbi.read("features.daily_ml_matrix")
    flat = cbi.read("features.daily_ml_matrix", flat=True)
    closes = matrix["market_data"].struct.field("close").to_list()
    assert flat["market_data_close"].to_list() == closes
    assert len(flat.columns) == len(set(flat.columns))


def test_bars_as_of_a_date_or_an_instant_are_those_known_then() -> None:
    assert cbi.bars("ZL", "1h", as_of=FIRST).height == 7
    # The bars of 14:00 and 15:00 had ended by 16:30; that of 16:00 had not.
    at = cbi.bars("ZL", "1h", as_of=f"{FIRST}T16:30+00:00")
    assert at["ts_event"].dt.hour().to_list() == [14, 15]
    # 4h bars are anchored at 22:00 UTC in summer: of FIRST, that of 14:00 ends at 18:00.
    assert cbi.bars("ZL", "4h", as_of=f"{FIRST}T17:59+00:00").is_empty()
    assert cbi.bars("ZL", "4h", as_of=f"{FIRST}T18:00+00:00").height == 1


def test_training_rows_as_of_a_date_keep_only_the_targets_known_then() -> None:
    whole = cbi.read(TABLE)
    day = FIRST + dt.timedelta(days=14)  # Monday, the 11th trade date
    then = cbi.read(TABLE, as_of=day)
    assert then.height == 11
    # A target of five dates is known for the first six rows.
    assert then["target"].is_not_null().to_list() == [True] * 6 + [False] * 5
    assert then["target"].head(6).to_list() == whole["target"].head(6).to_list()
    assert then["target_missing"].tail(5).to_list() == ["not yet"] * 5
    assert then["target_unadjusted"].tail(5).null_count() == 5


def test_folds_train_on_dates_whose_targets_touch_no_later_role() -> None:
    found = list(cbi.folds(TABLE))
    assert found
    dates = cbi.read(TABLE)["data_date"].to_list()
    for n, (before, valid) in enumerate(found):
        first = 25 + 5 * n  # 20 to train on, a horizon of 5, and 5 more by fold
        assert valid["data_date"].to_list() == dates[first : first + 5]
        assert before["data_date"].to_list() == dates[: first - 5]
        assert before["target_date"].max() < valid["data_date"].min()  # type: ignore[operator]
    tests = [test["data_date"].to_list() for _, test in cbi.folds(TABLE, "test")]
    assert tests[0] == dates[35:40]


def test_features_are_numbers_and_no_target_is_among_them() -> None:
    names = cbi.feature_columns(TABLE)
    assert {"market_data_close", "regime_k_vol", "pivots_price_above_P"} <= set(names)
    assert not [n for n in names if n.startswith(("target", "source_", "entry", "exit", "rolls"))]
    assert set(cbi.read(TABLE).select(names).dtypes) <= {pl.Float64, pl.Int64, pl.Boolean}


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: cbi.read("features.nothing"), "features.nothing: no such table"),
        (lambda: cbi.read("ops.loads", as_of="2024-09-09"), "cannot be read as of a date"),
        (lambda: cbi.rolls("ZL", as_of="2024-09-09T12:00+00:00"), "Give a trade date"),
        (lambda: cbi.bars("ZL", "2h"), "2h: no bars have this size"),
        (lambda: cbi.bars("ZL", "1h", as_of="9 Sept"), "neither a date nor a time"),
        (lambda: cbi.bars("ZL", "1h", as_of="2024-09-09T12:00"), "a time without a zone"),
        (lambda: cbi.read("training.folds", symbols=["ZL"]), "its rows have no symbol"),
        (lambda: cbi.feature_columns("ops.loads"), "it is no training table"),
        (lambda: cbi.read("ops.loads", flat=True), "it has no flat view"),
    ],
)
def test_wrong_use_is_one_line(call: Any, problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        call()
    assert problem in str(raised.value)
    assert "\n" not in str(raised.value)


def test_home_without_a_readers_copy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CBI_HOME", str(tmp_path / "home"))
    with pytest.raises(HomeError, match=r"read/warehouse\.duckdb: no such file"):
        cbi.rolls("ZL")


def test_reading_leaves_the_home_as_it_was(built: Project) -> None:
    def files() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in built.home.root.rglob("*") if p.is_file()}

    before = files()
    cbi.continuous("ZL")
    cbi.macro()
    assert files() == before


@pytest.mark.full
def test_the_notebook_runs() -> None:
    cells = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(cells) == 3
    names: dict[str, Any] = {}
    for cell in cells:
        exec(compile(cell, str(PAGE), "exec"), names)
    assert [score["valid_from"] for score in names["scores"]] == [
        valid["data_date"].min() for _, valid in cbi.folds(TABLE)
    ]
    assert names["png"].startswith(b"\x89PNG")
