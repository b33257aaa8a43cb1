"""Batch jobs: submit, find and poll them.

Submitting costs money, so it is never retried here. If it is unknown whether Databento accepted a
job, OutcomeUnknownError says so, and the caller looks for the job with `find_job`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import pandas as pd
import requests
from databento import BentoError, BentoHttpError

from cbi_assets.databento_api.batch_request import BatchRequest
from cbi_assets.databento_api.client import Clients
from cbi_assets.errors import CbiError, ServiceError

JobState = Literal["queued", "processing", "done", "expired"]

_STATES: Final[tuple[JobState, ...]] = get_args(JobState)
_JOB_ID: Final = re.compile(r"[A-Z0-9]+-\d{8}-[A-Z0-9]{10}")
_CLOCK_SKEW: Final = dt.timedelta(hours=1)
"""The most that Databento's clock and this machine's are assumed to differ."""


class RefusedError(CbiError):
    """Databento rejected a submission: nothing was bought."""


class OutcomeUnknownError(ServiceError):
    """The connection failed during a submission: Databento may have accepted the job."""


@dataclass(frozen=True)
class Job:
    """A batch job. `received_at` is UTC; `cost_usd` is None until Databento reports it."""

    id: str
    state: JobState
    received_at: dt.datetime
    cost_usd: float | None


def submit_job(clients: Clients, request: BatchRequest) -> Job:
    """Buy `request`, once.

    Raises
    ------
    RefusedError
        If Databento rejected the job. Nothing was bought.
    OutcomeUnknownError
        If Databento may have accepted it; find out with `find_job`.
    ServiceError, UsageError
        As `Clients.call`: the rate limit persisted, or the key was rejected. Nothing was bought.
    """

    def submit() -> dict[str, Any]:
        try:
            return clients.batch.submit_job(
                **request.range,
                encoding=request.encoding,
                compression=request.compression,
                split_duration=request.split_duration,
            )
        except BentoHttpError as error:
            if error.http_status in (401, 403, 429):
                raise
            reason = clients.mask(str(error))
            if error.http_status >= 500 or error.http_status == 408:
                raise _outcome_unknown(request, reason) from None
            raise RefusedError(
                f"refused {request}: {reason}",
                subject="Databento",
                remedy="Nothing was bought for it.",
            ) from None
        except (BentoError, requests.RequestException, ValueError) as error:
            raise _outcome_unknown(request, clients.mask(str(error))) from None

    clients.submissions.wait(clients.pause)
    answer = clients.call(f"submit {request}", submit, idempotent=False)
    try:
        return _parse_job(answer)
    except (ValueError, KeyError, TypeError) as error:
        reason = clients.mask(f"unexpected response, {error!r}")
        raise _outcome_unknown(request, reason) from None


def get_job(clients: Clients, job_id: str) -> Job:
    """Return a job's current state. Raises ServiceError, UsageError as `Clients.call`."""
    details = _get_details(clients, job_id)
    with _unexpected_response(clients, f"job {job_id}"):
        return _parse_job(details)


def list_job_states(clients: Clients, since: dt.datetime) -> dict[str, JobState]:
    """Return the state of each of the account's jobs received since, by job ID."""
    entries = _list_jobs(clients, since)
    with _unexpected_response(clients, "the list of jobs"):
        return {entry["id"]: _parse_state(entry) for entry in entries}


def find_job(
    clients: Clients, request: BatchRequest, since: dt.datetime, exclude: Collection[str] = ()
) -> Job | None:
    """Return the job for exactly `request` received since, None if there is none.

    `since` is extended by an hour, because the clocks may differ. `exclude` are IDs of jobs known
    to be for other requests.
    """
    for entry in _list_jobs(clients, since - _CLOCK_SKEW):
        if entry["id"] in exclude:
            continue
        details = _get_details(clients, entry["id"])
        with _unexpected_response(clients, f"job {entry['id']}"):
            if _is_for(details, request):
                return _parse_job(details)
    return None


def list_files(clients: Clients, job_id: str) -> list[dict[str, Any]]:
    """Return Databento's description of each file of a job that is done."""
    action = f"list the files of job {job_id}"
    return clients.call(action, lambda: clients.batch.list_files(job_id))


def _list_jobs(clients: Clients, since: dt.datetime) -> list[dict[str, Any]]:
    return clients.call(
        "list the account's jobs",
        lambda: clients.batch.list_jobs(states=",".join(_STATES), since=since),
    )


def _get_details(clients: Clients, job_id: str) -> dict[str, Any]:
    return clients.call(f"get job {job_id}", lambda: clients.batch.get_job_details(job_id))


@contextmanager
def _unexpected_response(clients: Clients, what: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise ServiceError(
            f"unexpected response for {what} ({clients.mask(repr(error))})",
            subject="Databento",
            remedy="The API may have changed: update the databento package, or report this.",
        ) from None


def _outcome_unknown(request: BatchRequest, reason: str) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"unknown whether it accepted {request}: {reason}",
        subject="Databento",
        remedy="Retry: it looks for the job before it buys anything.",
    )


def _parse_job(details: Mapping[str, Any]) -> Job:
    job_id = details["id"]
    if not _JOB_ID.fullmatch(job_id):
        raise ValueError(f"{job_id!r} is not a job ID")
    cost = details.get("cost_usd")
    return Job(
        job_id,
        _parse_state(details),
        _utc(details["ts_received"]).floor("us").to_pydatetime(),
        None if cost is None else float(cost),
    )


def _parse_state(entry: Mapping[str, Any]) -> JobState:
    name = entry["state"]
    # Older versions of the API have a separate state before the queue.
    if name == "received":
        return "queued"
    if name not in _STATES:
        raise ValueError(f"state {name!r}")
    state: JobState = name
    return state


def _is_for(details: Mapping[str, Any], request: BatchRequest) -> bool:
    symbols = details["symbols"]
    listed = symbols.split(",") if isinstance(symbols, str) else [str(s) for s in symbols]
    plain = ("dataset", "schema", "stype_in", "encoding", "compression", "split_duration")
    return (
        all(str(details[name]) == str(getattr(request, name)) for name in plain)
        and sorted(listed) == sorted(request.symbols)
        and _utc(details["start"]) == _utc(request.start)
        and _utc(details["end"]) == _utc(request.end)
    )


def _utc(value: Any) -> pd.Timestamp:
    parsed = pd.Timestamp(value)
    return parsed.tz_localize("UTC") if parsed.tz is None else parsed.tz_convert("UTC")
