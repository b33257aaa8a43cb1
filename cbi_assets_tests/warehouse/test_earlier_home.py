"""A home of an earlier version opens, and goes on from where it was.

`home-4043d5b.tar.xz` was written by the code at 4043d5b with DuckDB 1.5.5: a drive with hours of
ZL, ZS and ES over six trade dates, two hours of minutes of ZL, and a file of MES with a duplicate,
a conflict, an invalid bar and a record without a symbol; then load, build and every check.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from cbi_assets.ledger.books import books_by_file
from cbi_assets.session import Project, open_session
from cbi_assets.tables import ALL_TABLES, ALL_VIEWS, DAILY_ML_MATRIX, RAW
from cbi_assets.verbs import build, check, load
from cbi_assets.warehouse.drift import differences
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.helpers import NOW, load_once, query, table
from cbi_assets_tests.load.lines import put_lines, record

ARCHIVE = Path(__file__).with_name("home-4043d5b.tar.xz")


@pytest.fixture
def earlier(tmp_path: Path, drive: Path, make_project: MakeProject) -> Project:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return make_project("home")


def test_an_earlier_home_has_nothing_new_to_load_or_build(earlier: Project) -> None:
    with open_session(earlier, now=NOW) as session:
        assert load(session).published == 0
        built = build(session)
        assert {(item.written, item.removed) for item in built.replaced} == {(0, 0)}
        assert session.warehouse.query(f"SELECT COUNT(*) AS n FROM `{RAW['1h'].id}`").item() == 74
        assert session.warehouse.query(f"SELECT COUNT(*) AS n FROM `{RAW['1m'].id}`").item() == 120
        assert set(books_by_file(session.warehouse)["difference"]) == {0}
        for spec in (*ALL_TABLES, *ALL_VIEWS):
            live = session.warehouse.live_table(spec)
            assert live is not None, spec.id
            assert differences(spec, live) == [], spec.id


@pytest.mark.full
def test_its_checks_have_the_results_that_were_stored(earlier: Project) -> None:
    failing = "SELECT check_name, partition_key FROM `ops.check_results` WHERE NOT passed"
    before = set(query(earlier, failing).rows())
    assert before == {
        ("coverage_is_uniform", "MES|1h"),
        ("coverage_is_uniform", "ZL|1h"),
        ("coverage_is_uniform", "ZL|1m"),
        ("minute_rebuilds_hourly", "ZL|1h"),
        ("no_overlapping_loads_disagree", "MES|1h"),
    }
    with open_session(earlier, now=NOW) as session:
        check(session)
    # its ES and ZS bars were made of ZL's cents: a check that is newer than the home finds them
    off_tick = {("prices_are_on_tick", "ES|1h"), ("prices_are_on_tick", "ZS|1h")}
    assert set(query(earlier, failing).rows()) == before | off_tick


@pytest.mark.full
def test_it_takes_new_bars(earlier: Project, drive: Path) -> None:
    put_lines(drive, [record(24 * 2 + 5, "CL.v.0")], name="b.json", job="GLBX-20250112-CCCCCCCCCC")
    assert load_once(earlier).published == 1
    assert table(earlier).height == 75
    with open_session(earlier, now=NOW) as session:
        built = build(session)
    assert built.sessions_built == 1
    assert {item.spec.id: item.written for item in built.replaced}[DAILY_ML_MATRIX.id] == 1
