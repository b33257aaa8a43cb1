"""Two datasets in one home: each root's bars come from its own."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from cbi_assets.demo.encoder import mappings
from cbi_assets.session import Project
from cbi_assets.tables import RAW
from cbi_assets_tests.helpers import bars, dbn_file, load_once, put_job, query

JANUARY = (dt.date(2025, 1, 1), dt.date(2025, 2, 1))
CBOE = 105
"""The publisher of XCBF.PITCH."""


def put(drive: Path, symbol: str, dataset: str, job: str) -> None:
    """Put a job of two bars, of instrument id 7, on the drive."""
    records = bars(2, symbol, instrument_id=7)
    if dataset == "XCBF.PITCH":
        records["publisher_id"] = CBOE
    mapped = mappings({symbol: [(7, *JANUARY)]})
    data = dbn_file(records, mapped=mapped, dataset=dataset)
    put_job(drive, {f"{job}.ohlcv-1h.dbn.zst": data}, job, mapped=mapped, dataset=dataset)


@pytest.mark.full
def test_load_keeps_datasets_apart_and_quarantines_a_root_of_another(
    project: Project, drive: Path
) -> None:
    put(drive, "ESH5", "GLBX.MDP3", "GLBX-20250201-AAAAAAAAAA")
    put(drive, "VX/H5", "XCBF.PITCH", "XCBF-20250201-BBBBBBBBBB")
    put(drive, "ES.v.0", "XCBF.PITCH", "XCBF-20250201-CCCCCCCCCC")
    load_once(project)
    # the same instrument id, in the same hours, is two instruments
    found = query(
        project,
        "SELECT root, symbol, kind, contract, dataset, instrument_id, COUNT(*) AS bars "
        f"FROM `{RAW['1h'].id}` GROUP BY ALL ORDER BY root",
    )
    assert found.rows() == [
        ("ES", "ESH5", "outright", "ESH2025", "GLBX.MDP3", 7, 2),
        ("VX", "VX/H5", "outright", "VXH2025", "XCBF.PITCH", 7, 2),
    ]
    refused = query(
        project, "SELECT DISTINCT root, reason, record <> '' FROM `ops.quarantined_bars`"
    )
    assert refused.rows() == [("ES", "dataset XCBF.PITCH has another ES than GLBX.MDP3", True)]
