"""Check everything a run depends on: settings, versions, drive, disk, services and warehouse."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from importlib import metadata

from packaging.requirements import Requirement

from cbi_assets import __version__
from cbi_assets.config.settings import Home, Settings, load_settings
from cbi_assets.drive.catalog import Catalog
from cbi_assets.errors import CbiError, HomeBusyError
from cbi_assets.formatting import instant, number, plural
from cbi_assets.ledger.pending_events import PendingEvents
from cbi_assets.session import Project, open_session
from cbi_assets.tables import ALL_TABLES
from cbi_assets.warehouse.access_checks import check_access
from cbi_assets.warehouse.drift import differences
from cbi_assets.warehouse.findings import Finding
from cbi_assets.warehouse.read_copy import is_current, read_copy_time
from cbi_assets.warehouse.sql_files import load_sql

PACKAGE = "cbi-assets"
_SHOWN = ("dagster", "duckdb", "polars", "databento")
"""Packages whose versions are shown."""

_BIGQUERY_REMEDY = "Follow docs/bigquery.md, then run `cbi doctor` again."
_CLOCK_TOLERANCE = dt.timedelta(minutes=5)


def diagnose(now: dt.datetime, *, fix: bool = False) -> Iterator[Finding]:
    """Yield one finding per thing that a run depends on; `now` is the clock, UTC.

    Changes no data; the readers' copy is updated, as after every command. With `fix`, it ends
    Dagster's runs whose process is gone. A wrong setting ends it, because everything else depends
    on the settings.
    """
    yield _check_versions()
    try:
        settings = load_settings()
        project = Project(settings)
    except CbiError as error:
        yield _failing("settings", error)
        return
    roots = len(project.universe.roots)
    yield Finding("settings", "ok", f"all are valid; {roots} roots in the universe")
    reachable = True
    for finding in check_access(settings):
        yield (
            finding
            if finding.verdict == "ok" or finding.remedy
            else replace(finding, remedy=_BIGQUERY_REMEDY)
        )
        reachable = reachable and (finding.verdict != "missing" or finding.name == "drive")
    yield _check_staging(settings)
    yield _check_instance(settings, fix)
    yield _check_catalog(settings)
    newest = None
    if reachable:  # opening it would otherwise be retried for minutes
        finding, newest = _check_warehouse(project, now)
        yield finding
        if settings.cbi_warehouse == "duckdb" and settings.home.warehouse.exists():
            yield _check_read_copy(settings.home, now, was_updated=finding.verdict == "ok")
    yield _check_clock(newest, now)
    yield _check_alerts(settings)
    yield _check_databento(settings)


def unmet(requirements: list[str]) -> Iterator[str]:
    """Yield a description of each requirement that this environment misses, ignoring extras."""
    for text in requirements:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            yield f"{wanted.name} is not installed, {wanted.specifier} is required"
            continue
        if not wanted.specifier.contains(installed, prereleases=True):
            yield f"{wanted.name} is {installed}, {wanted.specifier} is required"


def _failing(name: str, error: CbiError) -> Finding:
    finding = Finding.of_error(name, error)
    remedy = finding.remedy or "Fix it, then run `cbi doctor` again."
    return replace(finding, remedy=remedy)


def _check_versions() -> Finding:
    wrong = list(unmet(metadata.requires(PACKAGE) or []))
    if wrong:
        return Finding(
            "versions",
            "missing",
            "; ".join(wrong),
            "Run pip install --constraint constraints.txt --editable . in the project's folder.",
        )
    shown = ", ".join(f"{name} {metadata.version(name)}" for name in _SHOWN)
    python = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("versions", "ok", f"cbi {__version__}, Python {python}, {shown}")


def _check_staging(settings: Settings) -> Finding:
    folder = settings.staging
    if folder is None or not folder.expanduser().is_dir():
        reason = "neither CBI_STAGING nor CBI_DRIVE is set" if folder is None else f"no {folder}"
        return Finding(
            "staging", "note", f"{reason}: no macro series", "Set CBI_STAGING if you have some."
        )
    return Finding("staging", "ok", f"{folder} exists")


def _check_instance(settings: Settings, fix: bool) -> Finding:
    """Check that Dagster's own state can be opened, and that no run of it is stuck."""
    if not (settings.home.dagster / "dagster.yaml").exists():
        return Finding(
            "Dagster", "note", "no instance yet", "The first `cbi load` or `cbi ui` creates it."
        )
    from cbi_assets.pipeline import instance  # Dagster takes seconds to import

    try:
        ended = instance.end_runs(settings.home) if fix else []
        state = instance.inspect_instance(settings.home)
    except CbiError as error:
        return _failing("Dagster", error)
    beat = state.last_seen
    found = [
        f"{number(state.runs)} runs",
        f"{state.queued} queued, {state.unfinished - state.dead} in progress",
        *(f"pool {p.name}: {p.taken} of {p.limit} taken, {p.waiting} waiting" for p in state.pools),
        f"daemon last seen {instant(beat)} UTC" if beat else "the daemon never ran",
    ]
    if ended:
        found.append(f"{plural(len(ended), 'dead run')} ended: {', '.join(ended)}")
    if state.dead:
        found.insert(0, f"{plural(state.dead, 'run')} without a process")
        remedy = "Run `cbi doctor --fix`, or start `cbi ui`: both end them and free their pools."
        return Finding("Dagster", "missing", "; ".join(found), remedy)
    return Finding("Dagster", "ok", "; ".join(found))


def _check_catalog(settings: Settings) -> Finding:
    """Check the files that say what is landed and what is not reported yet."""
    home = settings.home
    if not home.catalog.exists():
        return Finding("landing", "note", f"no {home.catalog} yet", "Run `cbi load`.")
    try:
        with closing(Catalog(home.catalog)) as catalog:
            catalog.verify()
            landed = len(catalog.contents())
        pending = len(PendingEvents(home).partitions())
    except HomeBusyError as error:
        return replace(Finding.of_error("landing", error), verdict="note")
    except CbiError as error:
        return _failing("landing", error)
    waiting = f", {plural(pending, 'partition')} to report to Dagster" if pending else ""
    return Finding("landing", "ok", f"{plural(landed, 'file')} of bars landed{waiting}")


def _check_warehouse(project: Project, now: dt.datetime) -> tuple[Finding, dt.datetime | None]:
    """Check every table against its spec; also return the time of the ledger's newest entry."""
    home = project.home
    if project.settings.cbi_warehouse == "duckdb" and not home.warehouse.exists():
        return Finding("warehouse", "note", f"no {home.warehouse} yet", "Run `cbi load`."), None
    try:
        with open_session(project, now=now, wait=0) as session:
            warehouse = session.warehouse
            warehouse.verify()
            differing = []
            for spec in ALL_TABLES:
                live = warehouse.live_table(spec)
                if live is None or differences(spec, live):
                    differing.append(spec.id)
            newest: dt.datetime | None = warehouse.query(load_sql("ledger/newest_entry")).item()
    except HomeBusyError as error:
        return replace(Finding.of_error("warehouse", error), verdict="note"), None
    except CbiError as error:
        return _failing("warehouse", error), None
    if differing:
        finding = Finding(
            "warehouse",
            "missing",
            f"{', '.join(differing)} differ from their specs",
            "`cbi check` lists the differences (table_matches_its_spec).",
        )
        return finding, newest
    return Finding("warehouse", "ok", f"{len(ALL_TABLES)} tables match their specs"), newest


def _check_read_copy(home: Home, now: dt.datetime, was_updated: bool) -> Finding:
    """Compare the readers' copy with the warehouse, which updates it when it is closed."""
    made = read_copy_time(home)
    age = f"of {instant(made)} UTC, {_age(now - made)} old" if made else "not there"
    found = f"{home.read_copy} is {age}"
    if is_current(home):
        return Finding("read copy", "ok", f"{found}, equal to the warehouse")
    remedy = "The next command that opens the warehouse updates it."
    if was_updated:
        remedy = "Free some space, or make its folder writable, then run `cbi doctor` again."
    found = f"{found}; the warehouse has changed since" if made else found
    return Finding("read copy", "missing" if was_updated else "note", found, remedy)


def _age(age: dt.timedelta) -> str:
    """Return an age in its largest unit of days, hours and minutes."""
    minutes = max(0, int(age.total_seconds()) // 60)
    for unit, length in (("day", 24 * 60), ("hour", 60)):
        if minutes >= length:
            return plural(minutes // length, unit)
    return plural(minutes, "minute")


def _check_clock(newest: dt.datetime | None, now: dt.datetime) -> Finding:
    """Compare the clock with the ledger's newest entry, which cannot be in the future."""
    shown = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if newest is not None and newest > now + _CLOCK_TOLERANCE:
        return Finding(
            "clock",
            "missing",
            f"{shown}, but the ledger has an entry of {newest:%Y-%m-%d %H:%M:%S} UTC",
            "Set this machine's clock, then run `cbi doctor` again.",
        )
    return Finding("clock", "ok", shown)


def _check_alerts(settings: Settings) -> Finding:
    if settings.cbi_alert_urls is None:
        return Finding(
            "alerts", "note", "off: CBI_ALERT_URLS is not set", "See docs/operations.md."
        )
    from cbi_assets.alerts import read_addresses

    try:
        addresses = read_addresses(settings)
    except CbiError as error:
        return _failing("alerts", error)
    names = ", ".join(re.sub(r"^address ", "", address.name) for address in addresses)
    return Finding("alerts", "ok", f"sent to {names or 'nobody'}; `cbi alert --test` tries them")


def _check_databento(settings: Settings) -> Finding:
    if settings.databento_api_key is None:
        return Finding(
            "Databento key",
            "note",
            "DATABENTO_API_KEY is not set; plans are estimated and nothing can be downloaded",
            "Set it in .env to download.",
        )
    return Finding("Databento key", "ok", "set; `cbi plan` shows whether Databento accepts it")
