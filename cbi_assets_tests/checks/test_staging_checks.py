"""The checks of staging fail on rows that a load of staging would not have written."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from cbi_assets.build.stitch_statistics import record_stitch
from cbi_assets.session import Project, open_session
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.helpers import open_warehouse, paste
from cbi_assets_tests.load.staging.exports import (
    LATER,
    NOW,
    TEN,
    load,
    run_staging_checks,
    write_bridge,
    write_indicators,
)


def insert_observation(source: str, series_id: str, file_id: str) -> str:
    return (
        "INSERT INTO `raw_intelligence.macro_observations` (source, series_id, reference_date, "
        f"available_at, value, source_file_id, load_id) SELECT '{source}', '{series_id}', "
        f"DATE '2025-02-03', TIMESTAMP '2025-02-04 00:00:00+00', 1.0, {file_id}, 'L'"
    )


ANY_FILE = "(SELECT MAX(file_id) FROM `ops.staging_files`)"
UPDATE_BRIDGE = (
    "UPDATE `market_data.yahoo_zl_historical_2000_2010` SET {} WHERE date = DATE '2010-06-04'"
)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("check", "sql", "fault"),
    [
        (
            "no_price_from_staging",
            insert_observation("FRED", "zl_close", ANY_FILE),
            "this source may not give this series",
        ),
        (
            "no_price_from_staging",
            insert_observation("Yahoo_Finance", TEN, ANY_FILE),
            "this source may not give this series",
        ),
        (
            "no_price_from_staging",
            insert_observation("FRED", TEN, "'no such file'"),
            "its file is not in ops.staging_files",
        ),
        (
            "no_price_from_staging",
            "INSERT INTO `market_data.databento_futures_ohlcv_1d` (ts_event, trade_date, root, "
            "symbol, kind, instrument_id, publisher_id, volume, dataset, source_file_id, load_id, "
            "loaded_at) SELECT TIMESTAMP '2025-01-02 00:00:00+00', DATE '2025-01-02', 'ZL', "
            f"'ZL.v.0', 'continuous', 1, 1, 1, 'GLBX.MDP3', {ANY_FILE}, 'L', "
            "TIMESTAMP '2025-01-02 00:00:00+00'",
            "a raw bar comes from a staging file",
        ),
        (
            "yahoo_only_before_2010_06_06",
            UPDATE_BRIDGE.format("date = DATE '2010-06-07'"),
            "the bridge ends before 2010-06-06",
        ),
        (
            "yahoo_only_before_2010_06_06",
            insert_observation("Yahoo_Finance", TEN, ANY_FILE),
            "Yahoo may give only the bridge",
        ),
        (
            "stitch_is_documented",
            UPDATE_BRIDGE.format("scale = 2.0"),
            "not stitched as sources.yaml says",
        ),
        (
            "stitch_is_documented",
            UPDATE_BRIDGE.format("close_kind = 'last_trade'"),
            "not stitched as sources.yaml says",
        ),
        (
            "stitch_is_documented",
            "DELETE FROM `ops.stitch_statistics` WHERE TRUE",
            "no statistics since this load: run cbi build",
        ),
        (
            "stitch_is_documented",
            "UPDATE `ops.stitch_statistics` SET scale = 2.0 WHERE TRUE",
            "no statistics since this load: run cbi build",
        ),
        (
            "stitch_is_documented",
            "INSERT INTO `ops.loads` (load_id, source_file_id, timeframe, root, records, published,"
            " duplicates, quarantined, conflicts, reopened, loaded_at) SELECT 'L', 'f', '1h', 'ZL',"
            " 1, 1, 0, 0, 0, 0, TIMESTAMP '2025-12-24 00:00:00+00'",
            "no statistics since this load: run cbi build",
        ),
    ],
)
def test_check_fails_and_names_the_problem_of_a_changed_row(
    project: Project, staging: Path, check: str, sql: str, fault: str
) -> None:
    write_indicators(staging / "macro.parquet", ("FRED", TEN, "2025-01-02", 4.5))
    write_bridge(staging / "y.parquet", ("2010-06-04", 40.0))
    load(project)

    def failed() -> list[tuple[str, list[str]]]:
        with open_session(project, now=NOW) as session:
            results = run_staging_checks(session)
        for result in results:
            assert paste(project, result.sql).drop("offenders").to_dicts() == result.sample
        return [(r.name, [row["problem"] for row in r.sample]) for r in results if r.failed]

    with open_session(project, now=LATER) as session:
        no_bars = pl.DataFrame(schema={"date": pl.Date, "close": pl.Float64})
        record_stitch(session, no_bars)
    assert failed() == []
    with open_warehouse(project) as warehouse:
        warehouse.transact([Statement(sql)])
    assert (check, [fault]) in failed()
