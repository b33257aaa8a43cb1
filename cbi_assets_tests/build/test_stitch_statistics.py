"""Each build records how well Yahoo's closes agree with Databento's."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from cbi_assets.build.stitch_statistics import record_stitch
from cbi_assets.checks import CheckContext, checks_run_by, run_checks
from cbi_assets.checks.staging_checks import run_bridge
from cbi_assets.session import Project, open_session
from cbi_assets_tests.load.staging.exports import LATER, day, load, write_bridge


@pytest.mark.both_warehouses
def test_record_stitch_compares_closes_after_the_boundary_from_the_file(
    project: Project, staging: Path
) -> None:
    write_bridge(
        staging / "y.parquet", ("2010-06-04", 40.0), ("2010-06-07", 39.0), ("2025-01-02", 41.0)
    )
    load(project)
    closes = pl.DataFrame({"date": [day("2010-06-07"), day("2025-01-02")], "close": [38.0, 41.0]})
    with open_session(project, now=LATER) as session:
        warehouse = session.warehouse
        record_stitch(session, closes)
        (row,) = warehouse.query("SELECT * FROM `ops.stitch_statistics`").to_dicts()
        assert (row["bridge_rows"], row["overlap_days"], row["share_equal"]) == (1, 2, 1 / 2)
        assert row["seam_move"] == pytest.approx(38 / 40 - 1)
        assert row["inside_move"] == pytest.approx(39 / 40 - 1)
        assert row["typical_move"] is None
        assert all(r.passed for r in run_checks(CheckContext(session), checks_run_by(run_bridge)))
        (staging / "y.parquet").unlink()
        assert record_stitch(session, closes) is None
        assert warehouse.query("SELECT * FROM `ops.stitch_statistics`").height == 1
