"""The tests' Databento: an account with jobs, quotes, files, a request log and faults.

It implements the routes that the real client uses (`metadata.*`, `symbology.*` and `batch.*`);
`server.py` serves it over HTTP.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import random
import string
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cbi_assets_tests.databento_api.bars import (
    BAR_BYTES,
    Moves,
    Wanted,
    count,
    make_file,
    mapped,
    months_of,
    symbols_by_number,
)

KEY = "db-TESTSTESTSTESTSTESTSTESTSTEST"
USER = "46PCMCVF"


Interval = tuple[str, dt.date, dt.date]
"""A raw symbol, and from when to before when it is an instrument's."""


@dataclass
class Fault:
    """A failure of the next `times` requests of `route` (`batch.submit_job`, `file`, …).

    A status: `429` (with Retry-After of `value` seconds), `500`, `503`, `400`. `lost`: processed,
    but the connection breaks before the response. `dropped`: the connection breaks, unprocessed.
    `stall`: no response. For files: `short` truncates after half, `garbled` changes a byte, `whole`
    ignores Range, `moved` redirects to `value`.
    """

    route: str
    kind: str
    times: int = 1
    value: Any = None


@dataclass(frozen=True)
class Logged:
    """One request. `key` is the API key in it, `sent` the number of bytes returned."""

    route: str
    params: Mapping[str, str]
    key: str | None
    range: str | None
    status: int
    sent: int


@dataclass
class Job:
    """A batch job, with its files. It is done at the `looks`-th poll."""

    id: str
    wanted: Wanted
    params: Mapping[str, str]
    received: dt.datetime
    cost: float
    files: dict[str, bytes]
    looks: int = 0
    expired: bool = False


@dataclass
class Vendor:
    """The account of one customer.

    A test may change `faults`, `usd_per_gib`, `looks` (polls until a job is done),
    `lists_manifest`, `wrong_hash` (files to list with a wrong hash) and `file_host` (the host in
    the files' URLs, instead of the server's own).
    """

    key: str = KEY
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    usd_per_gib: float = 100_000.0
    prices: list[float] = field(default_factory=list)
    """Prices for the next quotes, one each, instead of `usd_per_gib`."""
    looks: int = 2
    lists_manifest: bool = True
    wrong_hash: set[str] = field(default_factory=set)
    file_host: str | None = None
    conditions: dict[dt.date, tuple[str, str | None]] = field(default_factory=dict)
    """Condition and date of modification of the days that are not plainly available."""
    knows_conditions: bool = True
    """Whether the API says which days are not plainly available; the jobs always do."""
    instruments: dict[int, list[Interval]] = field(default_factory=dict)
    """The raw symbols of instrument IDs, instead of those of the bars that it sells."""
    moves: dict[str, dict[dt.date, int]] = field(default_factory=dict)
    """By how many ticks a root's prices of a day were raised since, by root."""
    rng: random.Random = field(default_factory=random.Random)
    faults: list[Fault] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    log: list[Logged] = field(default_factory=list)
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def fail(self, route: str, kind: str, times: int = 1, value: Any = None) -> None:
        """Make the next requests of a route fail."""
        self.faults.append(Fault(route, kind, times, value))

    def requests_to(self, route: str) -> list[Logged]:
        """Return the requests of one route, including failed ones."""
        return [logged for logged in self.log if logged.route == route]

    def take_fault(self, route: str) -> Fault | None:
        """Return this request's fault, if any."""
        with self.lock:
            for fault in self.faults:
                if fault.route == route and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def answer(self, route: str, params: Mapping[str, str]) -> Any:
        """Return the JSON document of an API call. Raises LookupError for an unknown job."""
        with self.lock:
            name = route.replace(".", "_")
            found: Any = getattr(self, name)(params)
            return found

    def metadata_list_datasets(self, params: Mapping[str, str]) -> list[str]:
        return ["GLBX.MDP3"]

    def metadata_list_schemas(self, params: Mapping[str, str]) -> list[str]:
        return ["ohlcv-1m", "ohlcv-1h", "ohlcv-1d"]

    def metadata_list_unit_prices(self, params: Mapping[str, str]) -> list[dict[str, Any]]:
        prices = dict.fromkeys(self.metadata_list_schemas(params), self.usd_per_gib)
        return [{"mode": "historical", "unit_prices": prices}]

    def metadata_get_dataset_range(self, params: Mapping[str, str]) -> dict[str, Any]:
        span = {"start": "2010-06-06T00:00:00.000000000Z",
                 "end": f"{self.now().date()}T00:00:00.000000000Z"}  # fmt: skip
        return span | {"schema": dict.fromkeys(self.metadata_list_schemas(params), span)}

    def metadata_get_dataset_condition(self, params: Mapping[str, str]) -> list[dict[str, Any]]:
        first, last = (dt.date.fromisoformat(params[key]) for key in ("start_date", "end_date"))
        return [
            {"date": str(day), "condition": condition, "last_modified_date": modified}
            for day, (condition, modified) in sorted(self.conditions.items())
            if self.knows_conditions and first <= day <= last
        ]

    def metadata_get_record_count(self, params: Mapping[str, str]) -> int:
        return count(_wanted(params))

    def metadata_get_billable_size(self, params: Mapping[str, str]) -> int:
        return count(_wanted(params)) * BAR_BYTES

    def metadata_get_cost(self, params: Mapping[str, str]) -> float:
        price = self.prices.pop(0) if self.prices else self.usd_per_gib
        return count(_wanted(params)) * BAR_BYTES / 2**30 * price

    def symbology_resolve(self, params: Mapping[str, str]) -> dict[str, Any]:
        assert (params["stype_in"], params["stype_out"]) == ("instrument_id", "raw_symbol")
        start, end = (dt.date.fromisoformat(params[f"{name}_date"]) for name in ("start", "end"))
        symbols = params["symbols"].split(",")
        named = {text: self._names_of(int(text), start, end) for text in symbols}
        return {
            "result": {
                text: [{"d0": str(d0), "d1": str(d1), "s": s} for s, d0, d1 in intervals]
                for text, intervals in named.items()
                if intervals
            },
            "symbols": symbols,
            "stype_in": "instrument_id",
            "stype_out": "raw_symbol",
            "start_date": str(start),
            "end_date": str(end),
            "partial": [],
            "not_found": [text for text, intervals in named.items() if not intervals],
            "message": "OK",
            "status": 0,
        }

    def _names_of(self, number: int, start: dt.date, end: dt.date) -> list[Interval]:
        if number in self.instruments:
            intervals = self.instruments[number]
        else:
            symbol = symbols_by_number(start, end).get(number)
            intervals = [(symbol, start, end)] if symbol else []
        clipped = [(s, max(d0, start), min(d1, end)) for s, d0, d1 in intervals]
        return [interval for interval in clipped if interval[1] < interval[2]]

    def batch_submit_job(self, params: Mapping[str, str]) -> dict[str, Any]:
        job = self.add_job(_wanted(params), params)
        return self._described(job)

    def batch_list_jobs(self, params: Mapping[str, str]) -> list[dict[str, Any]]:
        states = params.get("states", "queued,processing,done").split(",")
        since = dt.datetime.fromisoformat(params.get("since", "2000-01-01T00:00:00+00:00"))
        if since.tzinfo is None:
            since = since.replace(tzinfo=dt.UTC)
        return [
            {"id": job.id, "state": state, "ts_received": job.received.isoformat()}
            for job in sorted(self.jobs.values(), key=lambda job: job.received)
            if (state := self._look(job)) in states and job.received >= since
        ]

    def batch_get_job_details(self, params: Mapping[str, str]) -> dict[str, Any]:
        job = self.jobs[params["job_id"]]
        self._look(job)
        return self._described(job)

    def batch_list_files(self, params: Mapping[str, str]) -> list[dict[str, Any]]:
        job = self.jobs[params["job_id"]]
        folder = f"{self.file_host or self.url}/v0/batch/download/{USER}/{job.id}"
        return [
            {
                "filename": name,
                "size": len(data),
                "hash": f"sha256:{'0' * 64 if name in self.wrong_hash else _sha256(data)}",
                "urls": {
                    "https": f"{folder}/{name}",
                    "ftp": f"ftp://ftp.example/{USER}/{job.id}/{name}",
                },
            }
            for name, data in job.files.items()
            if self.lists_manifest or name != "manifest.json"
        ]

    def add_job(self, wanted: Wanted, params: Mapping[str, str] | None = None) -> Job:
        """Add a job received now, with its files."""
        received = self.now()
        tail = "".join(self.rng.choices(string.ascii_uppercase + string.digits, k=10))
        job_id = f"GLBX-{received:%Y%m%d}-{tail}"
        cost = count(wanted) * BAR_BYTES / 2**30 * self.usd_per_gib
        moves = self.moves.get(wanted.symbols[0].partition(".")[0], {})
        files = _files_of(wanted, job_id, self.conditions, moves)
        job = Job(job_id, wanted, dict(params or {}), received, cost, files)
        self.jobs[job_id] = job
        return job

    def _look(self, job: Job) -> str:
        job.looks += 1
        return self._state(job)

    def _state(self, job: Job) -> str:
        if job.expired:
            return "expired"
        if job.looks >= self.looks:
            return "done"
        return "processing" if job.looks else "queued"

    def _described(self, job: Job) -> dict[str, Any]:
        wanted, params = job.wanted, job.params
        done = self._state(job) in ("done", "expired")
        return {
            "id": job.id,
            "user_id": USER,
            "cost_usd": job.cost if done else None,
            "dataset": wanted.dataset,
            "symbols": ",".join(wanted.symbols),
            "stype_in": wanted.stype_in,
            "stype_out": "instrument_id",
            "schema": wanted.schema,
            "start": f"{wanted.start}T00:00:00.000000000Z",
            "end": f"{wanted.end}T00:00:00.000000000Z",
            "limit": None,
            "encoding": params.get("encoding", "dbn"),
            "compression": params.get("compression", "zstd"),
            "split_symbols": False,
            "split_duration": params.get("split_duration", "day"),
            "split_size": None,
            "delivery": "download",
            "record_count": count(wanted) if done else None,
            "state": self._state(job),
            "ts_received": job.received.isoformat(),
            "ts_expiration": (job.received + dt.timedelta(days=30)).isoformat() if done else None,
        }


def _wanted(params: Mapping[str, str]) -> Wanted:
    return Wanted(
        params["dataset"],
        params["schema"],
        tuple(params["symbols"].split(",")),
        params["stype_in"],
        dt.date.fromisoformat(params["start"][:10]),
        dt.date.fromisoformat(params["end"][:10]),
    )


def _files_of(
    wanted: Wanted,
    job_id: str,
    conditions: Mapping[dt.date, tuple[str, str | None]],
    moves: Moves,
) -> dict[str, bytes]:
    """Return the job's monthly data files and its sidecars, as Databento writes them."""
    files: dict[str, bytes] = {}
    for start, end in months_of(wanted.start, wanted.end):
        data = make_file(wanted, start, end, moves)
        if data is not None:
            last = end - dt.timedelta(days=1)
            span = f"{start:%Y%m%d}" if start == last else f"{start:%Y%m%d}-{last:%Y%m%d}"
            files[f"glbx-mdp3-{span}.{wanted.schema}.dbn.zst"] = data
    query = {
        "dataset": wanted.dataset,
        "schema": wanted.schema,
        "symbols": list(wanted.symbols),
        "stype_in": wanted.stype_in,
        "stype_out": "instrument_id",
        "encoding": "dbn",
        "compression": "zstd",
    }
    symbols = {
        item.raw_symbol: [
            {"d0": str(i.start_date), "d1": str(i.end_date), "s": i.symbol} for i in item.intervals
        ]
        for item in mapped(wanted)
    }
    days = [wanted.start + dt.timedelta(days=n) for n in range((wanted.end - wanted.start).days)]
    condition = [
        {"date": str(day), "condition": condition, "last_modified_date": modified}
        for day in days
        for condition, modified in [conditions.get(day, ("available", None))]
    ]
    documents: dict[str, Any] = {
        "metadata.json": {"version": 1, "job_id": job_id, "query": query, "customizations": {}},
        "symbology.json": {"result": symbols},
        "condition.json": condition,
    }
    for name, document in documents.items():
        files[name] = json.dumps(document, indent=4).encode()
    listed = [
        {"filename": name, "size": len(data), "hash": f"sha256:{_sha256(data)}"}
        for name, data in files.items()
    ]
    files["manifest.json"] = json.dumps({"job_id": job_id, "files": listed}, indent=4).encode()
    return files


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
