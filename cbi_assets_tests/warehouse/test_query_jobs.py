"""What BigQuery's denials mean for a job, on a client that makes no request."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from google.api_core import exceptions

from cbi_assets.warehouse.bigquery.query_jobs import Jobs


def jobs_denied(reason: str) -> Jobs:
    def get_job(*_: Any, **__: Any) -> Any:
        raise exceptions.Forbidden("Access Denied: Job p:US.x", errors=[{"reason": reason}])

    client = SimpleNamespace(get_job=get_job)
    return Jobs(SimpleNamespace(client=client, retry=None), "home")  # type: ignore[arg-type]


def test_job_is_taken_for_absent_if_the_account_may_not_see_whether_it_exists() -> None:
    assert jobs_denied("accessDenied")._find("x") is None


def test_exhausted_quota_is_not_taken_for_an_absent_job() -> None:
    with pytest.raises(exceptions.Forbidden):
        jobs_denied("quotaExceeded")._find("x")
