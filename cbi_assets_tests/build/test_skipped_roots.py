"""A root whose bars failed a check keeps its rows until they pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cbi_assets import verbs
from cbi_assets.ledger.check_results import failed_upstream
from cbi_assets.session import Project, open_session
from cbi_assets.verbs import build
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.helpers import NOW, load_once, open_warehouse, query
from cbi_assets_tests.load.lines import put_lines, record

TABLE = "market_data.databento_futures_ohlcv_1h"
MATRIX = "features.daily_ml_matrix"
ONE = "root = 'ZL' AND ts_event = TIMESTAMP '2025-01-06 15:00:00+00'"


@pytest.fixture(autouse=True)
def _loaded(project: Project, drive: Path) -> None:
    """Load four bars of ZL and of ZS on 2025-01-06."""
    put_lines(drive, [record(n, symbol) for n in range(4) for symbol in ("ZL.v.0", "ZS.v.0")])
    load_once(project)


def set_volume(project: Project, volume: int) -> None:
    """Change the volume of ZL's first bar; none is below 0."""
    with open_warehouse(project) as warehouse:
        warehouse.transact([Statement(f"UPDATE `{TABLE}` SET volume = {volume} WHERE {ONE}")])


def build_all(project: Project) -> Any:
    with open_session(project, now=NOW) as session:
        return build(session)


@pytest.mark.full
def test_build_skips_a_root_whose_bars_failed(project: Project) -> None:
    set_volume(project, -1)
    with open_session(project, now=NOW) as session:
        warehouse = session.warehouse
        verbs.check(session, full=True)
        skipped = failed_upstream(warehouse, ["ZL", "ZS"])
    # the bar is not its file's any more
    names = ["ohlc_is_consistent", "source_is_databento"]
    assert skipped == {"ZL": [f"{name} on ZL|1h" for name in names]}
    outcome = build_all(project)
    assert outcome.skipped == skipped
    assert outcome.rows == {"ZS": 1}
    assert outcome.has_failures
    assert set(query(project, f"SELECT symbol FROM `{MATRIX}`")["symbol"]) == {"ZS"}


@pytest.mark.full
def test_build_keeps_a_skipped_roots_rows_and_rebuilds_it_once_its_bars_pass(
    project: Project,
) -> None:
    build_all(project)
    for volume, rows in ((-1, {"ZS": 1}), (5, {"ZL": 1, "ZS": 1})):
        set_volume(project, volume)
        with open_session(project, now=NOW) as session:
            verbs.check(session, full=True)
        assert build_all(project).rows == rows
        assert query(project, f"SELECT symbol FROM `{MATRIX}`").height == 2


@pytest.mark.full
def test_a_warning_does_not_count_as_failed_upstream(project: Project) -> None:
    with open_session(project, now=NOW) as session:
        results = verbs.check(session)
        assert failed_upstream(session.warehouse, ["ZL", "ZS"]) == {}
    assert not all(r.passed for r in results if r.name == "coverage_is_uniform")
