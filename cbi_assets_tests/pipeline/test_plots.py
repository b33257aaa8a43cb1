"""Plots in Dagster's metadata: they draw the tables' values, in less than 1,000 characters."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import dagster as dg
import pytest

from cbi_assets.definitions import defs
from cbi_assets.pipeline.asset_keys import table_key
from cbi_assets.pipeline.plots import MAX_POINTS, draw_bars, draw_columns, draw_line, profile_built
from cbi_assets.pipeline.terminal import record_build, record_load
from cbi_assets.session import Project, open_session
from cbi_assets.tables import (
    BUILT,
    CONTINUOUS,
    DAILY_ML_MATRIX,
    RAW,
    ROLL_CALENDAR,
    SESSIONS,
    TableSpec,
)
from cbi_assets.verbs import build
from cbi_assets_tests.helpers import NOW, load_once
from cbi_assets_tests.load.lines import put_lines, record

SHOWN_AT_ONCE = 1_000
"""Characters of Markdown that Dagster's UI shows without a click."""

LONG = [dt.date(2010, 6, 7) + dt.timedelta(days=n) for n in range(6_500)]


def read(plot: dg.MarkdownMetadataValue) -> ElementTree.Element:
    """The SVG of a plot's Markdown."""
    match = re.fullmatch(r"!\[[^\]<>]+\]\(<data:image/svg\+xml,([^<>]+)>\)", plot.value)
    assert match, plot.value
    return ElementTree.fromstring(unquote(match[1]))


def texts(plot: dg.MarkdownMetadataValue) -> list[str]:
    return [node.text or "" for node in read(plot).iter() if node.tag.endswith("text")]


def points(plot: dg.MarkdownMetadataValue) -> list[tuple[int, int]]:
    (line,) = (node for node in read(plot).iter() if node.tag.endswith("polyline"))
    return [(int(x), int(y)) for x, y in (p.split(",") for p in line.attrib["points"].split())]


def heights(plot: dg.MarkdownMetadataValue) -> list[int]:
    (path,) = (node for node in read(plot).iter() if node.tag.endswith("path"))
    return [70 - int(y) for y in re.findall(r"V(\d+)H", path.attrib["d"])]


def test_draw_bars_counts_by_month_and_draws_an_empty_month() -> None:
    days = [dt.date(2025, 1, 6), dt.date(2025, 1, 31), dt.date(2025, 3, 3)]
    plot = draw_bars(days, [30, 26, 14])
    assert heights(plot) == [56, 0, 14]
    assert texts(plot) == ["up to 56 per month", "2025-01-06", "2025-03-03"]


@pytest.mark.parametrize(
    ("days", "period", "most"),
    [(1_500, "month", 50), (5_000, "quarter", 56), (5_500, "quarter", 61), (6_500, "year", 19)],
)
def test_draw_bars_counts_a_long_history_by_longer_periods(
    days: int, period: str, most: int
) -> None:
    plot = draw_bars(LONG[:days], [1_380] * days)
    assert len(heights(plot)) == most <= MAX_POINTS
    assert texts(plot)[0].endswith(f" per {period}")


def test_draw_line_keeps_the_ends_and_the_range() -> None:
    plot = draw_line(LONG[:5], [10.0, 12.0, 8.0, 9.0, 11.0])
    assert points(plot) == [(0, 42), (90, 14), (180, 70), (270, 56), (360, 28)]
    assert texts(plot) == ["8 to 12, last 11", str(LONG[0]), str(LONG[4])]


def test_draw_line_thins_a_long_line_and_keeps_the_newest_day() -> None:
    plot = draw_line(LONG, [40 + n / 100 for n in range(len(LONG))])
    found = points(plot)
    assert len(found) <= MAX_POINTS
    assert found[-1] == (360, 14)
    assert texts(plot)[0] == "40 to 104.99, last 104.99"


def test_draw_line_draws_one_value_and_a_flat_line() -> None:
    assert points(draw_line(LONG[:1], [5.0])) == [(0, 70)]
    assert {y for _, y in points(draw_line(LONG[:9], [-3.0] * 9))} == {70}
    assert heights(draw_bars(LONG[:1], [0])) == [0]


def test_plots_of_a_partition_are_short_enough_to_show() -> None:
    closes = [1_234_567.125 + n for n in range(len(LONG))]
    for days in (2_060, 5_500, 6_200, 6_500):
        assert len(draw_bars(LONG[:days], closes[:days]).value) < SHOWN_AT_ONCE
        assert len(draw_line(LONG[:days], closes[:days]).value) < SHOWN_AT_ONCE


def test_names_are_escaped_in_the_picture() -> None:
    assert texts(draw_columns(["ZL", "a<b&c"], [4, 2]))[:2] == ["ZL", "a<b&c"]
    plot = draw_line(
        LONG[:9], [1.0] * 9, [("boom", LONG[0], LONG[4]), ("50% #1", LONG[5], LONG[8])]
    )
    assert texts(plot)[:2] == ["boom", "50% #1"]


@pytest.mark.full
def test_load_shows_each_partition_its_own_plots(
    project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    put_lines(drive, [record(0), record(1), record(0, "ZS.v.0")])
    outcome = load_once(project)
    with open_session(project, now=NOW) as session:
        record_load(session, outcome)
    shown: dict[str, Any] = {}
    for event in instance.fetch_materializations(table_key(RAW["1h"].id), limit=9).records:
        logged = event.asset_materialization
        assert logged is not None
        assert logged.partition is not None
        shown[logged.partition] = logged.metadata
    assert set(shown) == {"ZL|1h", "ZS|1h"}
    assert texts(shown["ZL|1h"]["bars over time"])[0] == "up to 2 per month"
    assert texts(shown["ZS|1h"]["bars over time"])[0] == "up to 1 per month"
    close = shown["ZL|1h"]["close of the most traded symbol"]
    assert texts(close)[0].startswith("12 to 12, last 12")


def built(instance: dg.DagsterInstance, table: TableSpec = DAILY_ML_MATRIX) -> Any:
    """Return a table's metadata after a build."""
    event = instance.get_latest_materialization_event(table_key(table.id))
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization.metadata


@pytest.mark.full
def test_build_plots_the_matrix(
    project: Project, drive: Path, instance: dg.DagsterInstance
) -> None:
    put_lines(drive, [record(0), record(24), record(0, "ZS.v.0")])
    load_once(project)
    with open_session(project, now=NOW) as session:
        first = build(session)
    with open_session(project, now=NOW) as session:
        record_build(session, first)
    for table, rows, dates in (
        (SESSIONS, 3, "2025-01-06 to 2025-01-07"),
        (CONTINUOUS, 3, "2025-01-06 to 2025-01-07"),
        (ROLL_CALENDAR, 0, "none"),
        (DAILY_ML_MATRIX, 3, "2025-01-06 to 2025-01-07"),
    ):
        found = built(instance, table)
        assert (found["dagster/row_count"].value, found["trade dates"].value) == (rows, dates)
        assert found["data through"].value == dt.datetime(2025, 1, 8, tzinfo=dt.UTC).timestamp()
        assert "| train | " in found["lights"].value
    metadata = built(instance)
    assert texts(metadata["rows of each root"])[:2] == ["ZL", "ZS"]
    assert texts(metadata["ZL: close and regimes"])[0] == "trump_anticipation_2024"
    assert "ZS: close and regimes" not in metadata  # it is not traded

    with open_session(project, now=NOW) as session:
        of_one_root = build(session, roots=("ZL",))
    with open_session(project, now=NOW) as session:
        record_build(session, of_one_root)
    assert built(instance)["dagster/row_count"].value == 3
    assert texts(built(instance)["rows of each root"])[:2] == ["ZL", "ZS"]


def test_empty_matrix_has_no_plot(project: Project) -> None:
    with open_session(project, now=NOW) as session:
        profile = profile_built(session)
    assert profile.plots == {}
    empty = {"dagster/row_count": 0, "trade dates": "none"}
    assert profile.ranges == {table.id: empty for table in BUILT}


@pytest.mark.full
def test_table_without_bars_has_no_plot(
    project: Project, resources: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    known = [*(defs.assets or ()), *(defs.asset_checks or ())]
    result = dg.materialize(
        known,
        selection=dg.AssetSelection.assets(table_key(RAW["1h"].id)).without_checks(),
        instance=instance,
        resources=resources,
        partition_key="MES|1h",
    )
    (event,) = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    assert "bars over time" not in metadata
