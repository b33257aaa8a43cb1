"""A load of staging publishes each file's valid rows once, with books that balance."""

from __future__ import annotations

import datetime as dt
import json
import struct
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from cbi_assets.config.macro import load_macro
from cbi_assets.config.sources import DeclaredFile, StagingSource
from cbi_assets.errors import AuditError
from cbi_assets.load.staging.load_staging import StagingOutcome
from cbi_assets.session import Project, open_session
from cbi_assets.verbs import load_staging
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.helpers import open_warehouse, query, run_check
from cbi_assets_tests.load.staging.exports import (
    LATER,
    NOW,
    TEN,
    day,
    load,
    run_staging_checks,
    write_bridge,
    write_indicators,
)

BOOKS = ["observations", "published", "duplicates", "refused", "conflicts"]


def books(project: Project) -> dict[tuple[str, str], list[Any]]:
    rows = query(project, "SELECT * FROM `ops.staging_files`").to_dicts()
    return {(r["path"], r["source"]): [r["verdict"], *(r[n] for n in BOOKS)] for r in rows}


def published_observations(project: Project) -> list[tuple[Any, ...]]:
    rows = query(project, "SELECT * FROM `raw_intelligence.macro_observations`")
    columns = ("series_id", "reference_date", "available_at", "value")
    return rows.select(columns).sort(columns).rows()


@pytest.mark.both_warehouses
def test_load_publishes_valid_rows_and_lists_the_others(project: Project, staging: Path) -> None:
    file_id = write_indicators(
        staging / "macro.parquet",
        ("FRED", TEN, "2025-01-02", 4.5),
        ("FRED", TEN, "2025-01-02", 4.5),
        (None, TEN, "2025-01-03", 4.6),
        ("Yahoo_Finance", "soybean_oil", "2025-01-03", 49.7),
        ("FRED", TEN, "2025-01-03T09:30:00.5", 4.6),
        ("FRED", "vix_index_fred", "2025-01-03", 16.0),
        ("FRED", "vix_index_fred", "2025-01-03", 17.0),
    )
    outcome = load(project)
    assert outcome.load_id is not None
    assert not outcome.has_failures
    assert books(project) == {
        ("macro.parquet", "FRED"): ["partly", 5, 1, 1, 1, 2],
        ("macro.parquet", ""): ["refused", 1, 0, 0, 1, 0],
        ("macro.parquet", "Yahoo_Finance"): ["refused", 1, 0, 0, 1, 0],
    }
    # Thursday's H.15 is published on Friday, 16:15 Eastern
    available_at = dt.datetime(2025, 1, 3, 21, 15, tzinfo=dt.UTC)
    assert published_observations(project) == [(TEN, day("2025-01-02"), available_at, 4.5)]
    listed = query(project, "SELECT * FROM `ops.refused_observations`").sort("row_no")
    assert listed.select("source_file_id", "row_no", "verdict", "series_id").rows() == [
        (file_id, 3, "refused", TEN),
        (file_id, 4, "refused", None),
        (file_id, 5, "refused", None),
        (file_id, 6, "conflict", "vix_index"),
        (file_id, 7, "conflict", "vix_index"),
    ]
    record = json.loads(listed["record"][1])
    assert record["indicator"] == "soybean_oil"
    assert record["value"] == 49.7
    with open_session(project, now=NOW) as session:
        assert all(result.passed for result in run_staging_checks(session))


def test_load_reads_identical_files_once_under_any_name(project: Project, staging: Path) -> None:
    write_indicators(staging / "a.parquet", ("FRED", TEN, "2025-01-02", 4.5))
    (staging / "b.parquet").write_bytes((staging / "a.parquet").read_bytes())
    first = load(project)
    assert [entry.path for entry in first.entries] == ["a.parquet"]
    (staging / "a.parquet").unlink()
    second = load(project, LATER)
    assert (second.load_id, second.entries, second.known) == (None, [], 1)
    assert len(published_observations(project)) == 1


@pytest.mark.full
@pytest.mark.both_warehouses
def test_load_adds_vintages_of_a_changed_file(project: Project, staging: Path) -> None:
    path = staging / "macro.parquet"
    write_indicators(path, ("FRED", TEN, "2025-01-02", 4.5), ("FRED", TEN, "2025-01-03", 4.6))
    load(project)
    before = published_observations(project)
    second = write_indicators(
        path, ("FRED", TEN, "2025-01-02", 4.5), ("FRED", TEN, "2025-01-03", 4.7)
    )
    load(project, LATER)
    assert published_observations(project) == sorted(
        [*before, (TEN, day("2025-01-03"), LATER, 4.7)]
    )
    rows = query(project, "SELECT * FROM `ops.staging_files`").filter(file_id=second)
    assert rows.select(BOOKS).rows() == [(2, 1, 1, 0, 0)]


def test_load_validates_files_again_if_the_rules_changed(
    make_project: MakeProject, staging: Path
) -> None:
    rows = {"date": [day("2025-01-02")], "close": [17.0], "symbol": ["VIX"]}
    pl.DataFrame(rows).write_parquet(staging / "vix_daily.parquet")
    write_indicators(staging / "macro.parquet", ("FRED", TEN, "2025-01-02", 4.5))
    project = make_project()
    load(project)
    before = published_observations(project)
    assert books(project)["vix_daily.parquet", ""] == ["refused", 1, 0, 0, 1, 0]
    declared = DeclaredFile(
        id="vix_daily", source="Cboe", date="date", name="vix_daily.parquet", reason="I asked them"
    )
    old = project.sources.staging
    staged = old.model_copy(
        update={
            "sources": old.sources | {"Cboe": StagingSource(kinds=("spot",))},
            "declared": (*old.declared, declared),
        }
    )
    macro = load_macro()
    series = macro.series["vix_index"]
    origin = series.origins[0].model_copy(update={"layout": "vix_daily", "names": ("close",)})
    both = series.model_copy(update={"origins": (*series.origins, origin)})
    more = macro.model_copy(update={"series": macro.series | {"vix_index": both}})
    trusting = Project(
        project.settings,
        sources=project.sources.model_copy(update={"staging": staged}),
        macro=more,
    )
    with open_session(trusting, now=LATER) as session:
        load_staging(session)
        assert run_check(session, "no_price_from_staging")[0].passed
    assert books(project) == {
        ("vix_daily.parquet", "Cboe"): ["loaded", 1, 1, 0, 0, 0],
        ("macro.parquet", "FRED"): ["loaded", 1, 1, 0, 0, 0],
    }
    assert published_observations(project)[:-1] == before
    assert published_observations(project)[-1][0] == "vix_index"
    assert query(project, "SELECT * FROM `ops.refused_observations`").is_empty()
    seen = query(project, "SELECT seen_at FROM `ops.staging_files`")["seen_at"].to_list()
    assert seen == [NOW, NOW]


@pytest.mark.parametrize("name", ["zl_daily_aggregated.parquet", "cftc_cot.parquet"])
def test_load_blocks_a_price_table_under_any_name(
    project: Project, staging: Path, name: str
) -> None:
    write_indicators(staging / "macro.parquet", ("FRED", TEN, "2025-01-02", 4.5))
    rows = {"date": [day("2025-01-02")] * 3, "zl_open": 1.0, "zl_close": 1.0}
    pl.DataFrame(rows).write_parquet(staging / name)
    load(project)
    assert books(project)[name, ""] == ["blocked", 3, 0, 0, 3, 0]
    assert len(published_observations(project)) == 1
    assert query(project, "SELECT * FROM `ops.refused_observations`").is_empty()


@pytest.mark.parametrize("cut", [0, 10, -20])
def test_load_reports_a_damaged_file_in_one_line_and_loads_the_others(
    project: Project, staging: Path, cut: int
) -> None:
    write_indicators(staging / "good.parquet", ("FRED", TEN, "2025-01-02", 4.5))
    (staging / "bad.parquet").write_bytes((staging / "good.parquet").read_bytes()[:cut])
    (staging / "note.txt").write_text("mind the gap")
    outcome = load(project)
    bad, note = outcome.problems
    assert bad.startswith("bad.parquet: damaged Parquet (")
    assert bad.endswith("Export it again.")
    assert "\n" not in bad
    assert note == "note.txt: not Parquet. Export it as Parquet, or move it away."
    assert outcome.has_failures
    assert books(project)["bad.parquet", ""] == ["unread", 0, 0, 0, 0, 0]
    assert len(published_observations(project)) == 1


def test_load_reports_a_file_with_a_flipped_bit(project: Project, staging: Path) -> None:
    path = staging / "macro.parquet"
    write_indicators(path, *(("FRED", TEN, f"2025-01-{n:02}", n / 7) for n in range(1, 29)))
    table = pl.read_parquet(path).to_arrow()
    plain = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(table, path, **plain)
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<d", 3 / 7))] ^= 1
    path.write_bytes(content)
    assert len(load(project).problems) == 1
    assert published_observations(project) == []


def test_load_skips_folders_and_broken_links(project: Project, staging: Path) -> None:
    write_indicators(staging / "good.parquet", ("FRED", TEN, "2025-01-02", 4.5))
    (staging / "gone.parquet").symlink_to(staging / "nowhere")
    folder = staging / "folder.parquet"
    folder.mkdir()
    assert load(project).load_id is not None
    assert len(published_observations(project)) == 1


def test_load_does_nothing_without_a_staging_folder(project: Project, drive: Path) -> None:
    assert load(project) == StagingOutcome()


@pytest.mark.both_warehouses
def test_load_refuses_bridge_rows_from_the_boundary_on(project: Project, staging: Path) -> None:
    days = [("2006-12-29", 30.0), ("2010-06-04", 38.0), ("2010-06-06", 1.0), ("2025-01-02", 40.0)]
    write_bridge(staging / "anything.parquet", *days)
    load(project)
    assert books(project) == {("anything.parquet", "Yahoo_Finance"): ["partly", 4, 2, 0, 2, 0]}
    rows = query(project, "SELECT * FROM `market_data.yahoo_zl_historical_2000_2010`").sort("date")
    columns = ("date", "open", "high", "low", "close", "volume", "close_only")
    assert rows.select(columns).rows() == [
        (day("2006-12-29"), None, None, None, 30.0, None, True),
        (day("2010-06-04"), 38.0, 39.0, 37.0, 38.0, 5, False),
    ]
    assert rows.select("root", "close_kind", "scale", "adjustment").unique().rows() == [
        ("ZL", "settlement", 1.0, "none")
    ]
    listed = query(project, "SELECT reason FROM `ops.refused_observations`")["reason"]
    assert listed.to_list() == ["from 2010-06-06 on, prices come from Databento alone"] * 2


def test_load_publishes_nothing_if_the_books_do_not_balance(
    project: Project, staging: Path
) -> None:
    write_indicators(staging / "a.parquet", ("FRED", TEN, "2025-01-02", 4.5))
    load(project)
    with open_warehouse(project) as warehouse:
        sql = "UPDATE `ops.staging_files` SET duplicates = 1 WHERE TRUE"
        warehouse.transact([Statement(sql)])
    write_indicators(staging / "b.parquet", ("FRED", TEN, "2025-01-03", 4.6))
    with pytest.raises(
        AuditError, match=r"^a\.parquet: 1 observations in the books, 1 in the tables"
    ):
        load(project, LATER)
    assert len(published_observations(project)) == 1
