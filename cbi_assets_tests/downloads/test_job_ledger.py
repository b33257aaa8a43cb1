"""ops.download_jobs: one row per request of an approval, and one active job per request."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from cbi_assets.downloads.job_ledger import (
    AlreadyBoughtError,
    JobRow,
    RowState,
    record_intent,
    write_jobs,
)
from cbi_assets.session import Project
from cbi_assets_tests.databento_api.buying import NOW, rows
from cbi_assets_tests.helpers import open_warehouse

ROW = JobRow(
    "approval", "0123456789ab", "f" * 64, "ZL", "ohlcv-1h", None, "submitting", 1.25, None, None,
    None, None, None, NOW, None, NOW,
)  # fmt: skip
OTHER = replace(ROW, request_id="ba9876543210", root="ES", intended_at=NOW + dt.timedelta(1))


@pytest.mark.both_warehouses
def test_rows_are_written_replaced_and_read_back(project: Project) -> None:
    done = replace(
        ROW, job_id="GLBX-20250401-AAAAAAAAAA", state="downloaded", billed_usd=1.5,
        folder="raw/databento_zl/GLBX-20250401-AAAAAAAAAA", files=6, bytes=5_089, told="a word",
        submitted_at=NOW,
    )  # fmt: skip
    with open_warehouse(project) as warehouse:
        record_intent(warehouse, ROW)
        record_intent(warehouse, OTHER)
        write_jobs(warehouse, [done])
        write_jobs(warehouse, [])
        with pytest.raises(AlreadyBoughtError, match=r"under approval approval \(submitting\)"):
            record_intent(warehouse, replace(OTHER, approval_id="another"))
    assert rows(project) == [done, OTHER]


@pytest.mark.parametrize(
    ("state", "is_allowed"),
    [("submitting", False), ("submitted", False), ("queued", False), ("processing", False),
     ("done", False), ("failed", True), ("expired", True), ("downloaded", True)],
)  # fmt: skip
def test_record_intent_raises_if_the_request_has_an_active_job(
    project: Project, state: RowState, is_allowed: bool
) -> None:
    again = replace(ROW, approval_id="another")
    with open_warehouse(project) as warehouse:
        write_jobs(warehouse, [replace(ROW, state=state)])
        if is_allowed:
            record_intent(warehouse, again)
        else:
            with pytest.raises(AlreadyBoughtError):
                record_intent(warehouse, again)
    assert len(rows(project)) == 1 + is_allowed


def test_spent_usd_is_the_larger_of_bill_and_quote_unless_failed() -> None:
    assert ROW.spent_usd == 1.25
    assert replace(ROW, billed_usd=2.0).spent_usd == 2.0
    assert replace(ROW, billed_usd=0.5).spent_usd == 1.25
    assert replace(ROW, state="expired", quoted_usd=None, billed_usd=0.5).spent_usd == 0.5
    assert replace(ROW, state="failed").spent_usd == 0.0
