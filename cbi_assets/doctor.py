"""What `cbi doctor` looks at: everything a run rests on, each with how to mend it."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

import duckdb
from packaging.requirements import Requirement

from cbi_assets import __version__
from cbi_assets.config.settings import Settings, load_settings
from cbi_assets.errors import CbiError, HomeBusyError
from cbi_assets.session import Project, open_session
from cbi_assets.tables import ALL_TABLES
from cbi_assets.warehouse.access_checks import check_access
from cbi_assets.warehouse.drift import differences
from cbi_assets.warehouse.findings import Finding, Verdict
from cbi_assets.warehouse.sql_files import load_sql

PACKAGE = "cbi-assets"
_SHOWN = ("dagster", "duckdb", "polars", "databento")
"""Packages whose versions are shown."""

_BIGQUERY_REMEDY = "Follow docs/bigquery.md, then run `cbi doctor` again."


@dataclass(frozen=True)
class Diagnosis:
    """One thing that was looked at: `ok`, `note` (works, but know it) or `missing` (mend it).

    `status` is the exit status that it calls for: 2 for what is set wrong, 3 for what does not
    answer.
    """

    name: str
    verdict: Verdict
    found: str
    mend: str = ""
    status: int = 0


def diagnose(now: dt.datetime) -> Iterator[Diagnosis]:
    """Look at everything, one after the other; `now` is the clock, UTC. Changes no data."""
    yield from _look_at_versions()
    try:
        settings = load_settings()
        project = Project(settings)
    except CbiError as error:
        yield _ill("settings", error)
        return
    roots = len(project.universe.roots)
    yield Diagnosis("settings", "ok", f"all can be read; {roots} roots in the universe")
    reached = True
    for finding in check_access(settings):
        yield (diagnosis := _of_finding(finding))
        reached = reached and (finding.verdict != "missing" or finding.name == "drive")
    yield _look_at_staging(settings)
    yield _look_at_instance(settings)
    newest = None
    if reached:  # else opening it would be retried for minutes
        diagnosis, newest = _look_at_warehouse(project, now)
        yield diagnosis
    yield _judge_clock(newest, now)
    yield _look_at_alerts(settings)
    if settings.databento_api_key is None:
        yield Diagnosis(
            "Databento key",
            "note",
            "DATABENTO_API_KEY is not set; plans are estimated and nothing can be downloaded",
            "Set it in .env where you want to download.",
        )
    else:
        yield Diagnosis("Databento key", "ok", "set; `cbi plan` shows whether it is taken")


def _ill(name: str, error: CbiError) -> Diagnosis:
    finding = Finding.of_error(name, error)
    remedy = finding.remedy or "Fix it, then run `cbi doctor` again."
    return Diagnosis(name, "missing", finding.found, remedy, error.exit_code)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _of_finding(finding: Finding) -> Diagnosis:
    if finding.verdict == "ok":
        return Diagnosis(finding.name, "ok", finding.found)
    status = 0 if finding.verdict == "note" else (3 if finding.unanswered else 2)
    remedy = finding.remedy or _BIGQUERY_REMEDY
    return Diagnosis(finding.name, finding.verdict, finding.found, remedy, status)


def _look_at_versions() -> Iterator[Diagnosis]:
    shown = ", ".join(f"{name} {metadata.version(name)}" for name in _SHOWN)
    python = ".".join(str(part) for part in sys.version_info[:3])
    wrong = list(unmet(metadata.requires(PACKAGE) or []))
    if wrong:
        yield Diagnosis(
            "versions",
            "missing",
            "; ".join(wrong),
            "Run pip install --constraint constraints.txt --editable . in the project's folder.",
            2,
        )
    else:
        yield Diagnosis("versions", "ok", f"cbi {__version__}, Python {python}, {shown}")


def unmet(requirements: list[str]) -> Iterator[str]:
    """Requirements that this environment does not meet, a few words each; extras do not count."""
    for text in requirements:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            there = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            yield f"{wanted.name} is not installed, {wanted.specifier} is wanted"
            continue
        if not wanted.specifier.contains(there, prereleases=True):
            yield f"{wanted.name} is {there}, {wanted.specifier} is wanted"


def _look_at_staging(settings: Settings) -> Diagnosis:
    folder = settings.staging
    if folder is None or not folder.expanduser().is_dir():
        where = "neither CBI_STAGING nor CBI_DRIVE is set" if folder is None else f"no {folder}"
        return Diagnosis(
            "staging", "note", f"{where}: no macro series", "Set CBI_STAGING where you have some."
        )
    return Diagnosis("staging", "ok", f"{folder} is there")


def _look_at_instance(settings: Settings) -> Diagnosis:
    """Whether Dagster's own state can be opened."""
    if not (settings.home.dagster / "dagster.yaml").exists():
        return Diagnosis(
            "Dagster", "note", "no instance yet", "The first `cbi load` or `cbi ui` makes it."
        )
    # Dagster takes seconds to import
    from dagster import DagsterError
    from sqlalchemy.exc import SQLAlchemyError

    from cbi_assets.pipeline.instance import open_instance

    try:
        with open_instance(settings.home) as instance:
            runs = instance.get_runs_count()
            beats = instance.get_daemon_heartbeats().values()
    except (DagsterError, SQLAlchemyError, OSError) as error:
        return Diagnosis(
            "Dagster",
            "missing",
            f"{settings.home.dagster} cannot be opened ({_first_line(error)})",
            "Move that folder away: a new one is made, and only the history of runs is gone.",
            2,
        )
    newest = max((beat.timestamp for beat in beats), default=None)
    daemon = "the daemon never ran"
    if newest is not None:
        daemon = f"daemon last seen {dt.datetime.fromtimestamp(newest, dt.UTC):%Y-%m-%d %H:%M} UTC"
    return Diagnosis("Dagster", "ok", f"{runs:,} runs, {daemon}")


def _look_at_warehouse(project: Project, now: dt.datetime) -> tuple[Diagnosis, dt.datetime | None]:
    """How the warehouse is, and when its ledger was last written to."""
    home = project.home
    if project.settings.cbi_warehouse == "duckdb" and not home.warehouse.exists():
        return Diagnosis("warehouse", "note", f"no {home.warehouse} yet", "Run `cbi load`."), None
    try:
        with open_session(project, now=now, wait=0) as session:
            warehouse = session.warehouse
            faults = []
            for spec in ALL_TABLES:
                live = warehouse.live_table(spec)
                if live is None or differences(spec, live):
                    faults.append(spec.id)
            newest: dt.datetime | None = warehouse.query(load_sql("ledger/newest_entry")).item()
    except HomeBusyError as error:
        busy = Finding.of_error("warehouse", error)
        return Diagnosis("warehouse", "note", busy.found, busy.remedy), None
    except CbiError as error:
        return _ill("warehouse", error), None
    except duckdb.Error as error:
        damaged = Diagnosis(
            "warehouse",
            "missing",
            f"{home.warehouse} cannot be opened ({_first_line(error)})",
            "Put its backup in its place (docs/operations.md).",
            2,
        )
        return damaged, None
    if faults:
        differing = Diagnosis(
            "warehouse",
            "missing",
            f"{', '.join(faults)} differ from their specs",
            "`cbi check` says where (table_matches_its_spec).",
            2,
        )
        return differing, newest
    return Diagnosis("warehouse", "ok", f"{len(ALL_TABLES)} tables as they should be"), newest


def _judge_clock(newest: dt.datetime | None, now: dt.datetime) -> Diagnosis:
    """The clock against the newest entry of the ledger, which another one cannot be before."""
    shown = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if newest is not None and newest > now + dt.timedelta(minutes=5):
        return Diagnosis(
            "clock",
            "missing",
            f"{shown}, but the ledger has an entry of {newest:%Y-%m-%d %H:%M:%S} UTC",
            "Set this machine's clock, then look again.",
            2,
        )
    return Diagnosis("clock", "ok", shown)


def _look_at_alerts(settings: Settings) -> Diagnosis:
    if settings.cbi_alert_urls is None:
        return Diagnosis(
            "alerts", "note", "off: CBI_ALERT_URLS is not set", "docs/operations.md says how."
        )
    from cbi_assets.alerts import read_addresses

    try:
        addresses = read_addresses(settings)
    except CbiError as error:
        return _ill("alerts", error)
    names = ", ".join(re.sub(r"^address ", "", address.name) for address in addresses)
    return Diagnosis("alerts", "ok", f"go to {names or 'nobody'}; `cbi alert --test` tries them")
