"""Batch jobs: quote, submit, look for and look at them, inside the vendor's limits.

Submitting is what costs money, so it is asked once: whatever leaves it open whether the vendor
took a job is told as such, and never repeated here.
"""

from __future__ import annotations

import datetime as dt
import re
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import pandas as pd
import requests
from databento import BentoError, BentoHttpError

from cbi_assets.databento_api.client import Clients
from cbi_assets.downloads.plan_model import Request
from cbi_assets.errors import CbiError, ServiceError

JobState = Literal["queued", "processing", "done", "expired"]

_STATES: Final[tuple[JobState, ...]] = get_args(JobState)
_JOB_ID: Final = re.compile(r"[A-Z0-9]+-\d{8}-[A-Z0-9]{10}")
_SKEW: Final = dt.timedelta(hours=1)
"""How far the vendor's clock and this machine's may lie apart."""


class RefusedError(CbiError):
    """The vendor refused to take a job: nothing was bought."""


class OutcomeUnknownError(ServiceError):
    """The line broke over a submission: the vendor may have taken the job, or not."""


@dataclass(frozen=True)
class Job:
    """A batch job as the vendor tells it. `cost_usd` is None until it says so."""

    id: str
    state: JobState
    received_at: dt.datetime
    cost_usd: float | None


class Limit:
    """At most `calls` in any `seconds`; waits by `pause` for the rest."""

    def __init__(
        self,
        calls: int,
        seconds: float,
        pause: Callable[[float], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._pause = pause
        self._monotonic = monotonic
        self._made: deque[float] = deque(maxlen=calls)

    def wait(self) -> None:
        """Wait until one more call is within the limit, and count it."""
        if len(self._made) == self._made.maxlen:
            left = self._made[0] + self._seconds - self._monotonic()
            if left > 0:
                self._pause(left)
        self._made.append(self._monotonic())


class Jobs:
    """The batch jobs of one account. The vendor takes 20 submissions a minute, 20 calls a second.

    Every method raises ServiceError where the vendor does not answer, after retries, and
    UsageError where it does not take the key.
    """

    def __init__(self, clients: Clients, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clients = clients
        self._calls = Limit(20, 1.0, clients.pause, monotonic)
        self._submissions = Limit(20, 60.0, clients.pause, monotonic)

    def cost(self, request: Request) -> float:
        """What `request` would cost now, US dollars."""
        metadata = self._clients.metadata
        answer = self._ask(
            f"quote {_named(request)}", lambda: metadata.get_cost(**_range_of(request))
        )
        with self._read("a quote"):
            return float(answer)

    def size(self, request: Request) -> int:
        """What `request` would hold, uncompressed bytes."""
        metadata = self._clients.metadata
        answer = self._ask(
            f"size {_named(request)}", lambda: metadata.get_billable_size(**_range_of(request))
        )
        with self._read("a size"):
            return int(answer)

    def submit(self, request: Request) -> Job:
        """Buy `request`. Raises RefusedError where the vendor did not take it, and
        OutcomeUnknownError where there is no telling: look for the job by `find` then."""

        def call() -> dict[str, Any]:
            try:
                return self._clients.batch.submit_job(
                    dataset=request.dataset,
                    symbols=list(request.symbols),
                    schema=request.schema,
                    start=request.start,
                    end=request.end,
                    encoding=request.encoding,
                    compression=request.compression,
                    split_duration=request.split_duration,
                    stype_in=request.stype_in,
                )
            except BentoHttpError as error:
                if error.http_status in (401, 403, 429):
                    raise
                told = self._clients.mask(str(error))
                if error.http_status >= 500 or error.http_status == 408:
                    raise OutcomeUnknownError(_unknown(request, told)) from None
                raise RefusedError(
                    f"Databento refused {_named(request)}: {told}. Nothing was bought for it."
                ) from None
            except (BentoError, requests.RequestException, ValueError) as error:
                told = self._clients.mask(str(error))
                raise OutcomeUnknownError(_unknown(request, told)) from None

        self._submissions.wait()
        self._calls.wait()
        answer = self._clients.ask(f"submit {_named(request)}", call, repeat=False)
        try:
            return _job(answer)
        except (ValueError, KeyError, TypeError) as error:
            raise OutcomeUnknownError(
                _unknown(request, self._clients.mask(f"answer not understood, {error!r}"))
            ) from None

    def look(self, job_id: str) -> Job:
        """How far a job is."""
        details = self._details(job_id)
        with self._read(f"job {job_id}"):
            return _job(details)

    def states(self, since: dt.datetime) -> dict[str, JobState]:
        """The states of all jobs of the account received since, by their ids."""
        with self._read("the list of jobs"):
            return {entry["id"]: _state(entry) for entry in self._list(since)}

    def find(
        self, request: Request, since: dt.datetime, besides: Collection[str] = ()
    ) -> Job | None:
        """The job that asks for exactly `request`, received since (give or take an hour, for
        clocks differ); None where there is none. `besides` are jobs known to be others'."""
        for entry in self._list(since - _SKEW):
            if entry["id"] in besides:
                continue
            details = self._details(entry["id"])
            with self._read(f"job {entry['id']}"):
                if _asks_for(details, request):
                    return _job(details)
        return None

    def list_files(self, job_id: str) -> list[dict[str, Any]]:
        """What the vendor says of each file of a job that is done."""
        batch = self._clients.batch
        return self._ask(f"list the files of job {job_id}", lambda: batch.list_files(job_id))

    def _list(self, since: dt.datetime) -> list[dict[str, Any]]:
        batch = self._clients.batch
        return self._ask(
            "list the account's jobs",
            lambda: batch.list_jobs(states=",".join(_STATES), since=since),
        )

    def _details(self, job_id: str) -> dict[str, Any]:
        batch = self._clients.batch
        return self._ask(f"look at job {job_id}", lambda: batch.get_job_details(job_id))

    def _ask[Answer](self, what: str, call: Callable[[], Answer]) -> Answer:
        def within_limits() -> Answer:
            self._calls.wait()
            return call()

        return self._clients.ask(what, within_limits)

    @contextmanager
    def _read(self, what: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError) as error:
            told = self._clients.mask(repr(error))
            raise ServiceError(
                f"Databento: {what}: the answer is not understood ({told}). The vendor may have "
                "changed it; update the databento package, or report this."
            ) from None


def _range_of(request: Request) -> dict[str, Any]:
    return {
        "dataset": request.dataset,
        "symbols": list(request.symbols),
        "schema": request.schema,
        "stype_in": request.stype_in,
        "start": request.start,
        "end": request.end,
    }


def _named(request: Request) -> str:
    return (
        f"{','.join(request.symbols)} {request.schema} {request.start} to {request.end} "
        f"(request {request.request_id})"
    )


def _unknown(request: Request, told: str) -> str:
    return (
        f"Databento: no telling whether it took {_named(request)}: {told}. Run this again: it "
        "looks for the job before it buys anything."
    )


def _job(details: Mapping[str, Any]) -> Job:
    job_id = details["id"]
    if not _JOB_ID.fullmatch(job_id):
        raise ValueError(f"{job_id!r} is no job's id")
    cost = details.get("cost_usd")
    received = pd.Timestamp(details["ts_received"])
    aware = received.tz_localize("UTC") if received.tz is None else received.tz_convert("UTC")
    return Job(
        job_id,
        _state(details),
        aware.floor("us").to_pydatetime(),
        None if cost is None else float(cost),
    )


def _state(entry: Mapping[str, Any]) -> JobState:
    state = entry["state"]
    # an older API has a state of its own before the queue
    if state == "received":
        return "queued"
    if state not in _STATES:
        raise ValueError(f"state {state!r}")
    found: JobState = state
    return found


def _asks_for(details: Mapping[str, Any], request: Request) -> bool:
    symbols = details["symbols"]
    listed = symbols.split(",") if isinstance(symbols, str) else [str(s) for s in symbols]
    plain = ("dataset", "schema", "stype_in", "encoding", "compression", "split_duration")
    return (
        all(str(details[name]) == str(getattr(request, name)) for name in plain)
        and sorted(listed) == sorted(request.symbols)
        and _instant(details["start"]) == _instant(request.start)
        and _instant(details["end"]) == _instant(request.end)
    )


def _instant(value: Any) -> pd.Timestamp:
    instant = pd.Timestamp(value)
    return instant.tz_localize("UTC") if instant.tz is None else instant.tz_convert("UTC")
