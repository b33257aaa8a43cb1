"""Load staging: validate each file's rows, and publish the valid ones with their books in one
transaction."""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from cbi_assets.counted_steps import log_steps
from cbi_assets.errors import SourceError
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.ledger.versions import ledger_version, with_version_guard
from cbi_assets.load.staging.bridge import PUBLISHED_BARS, read_bridge, validate_bridge
from cbi_assets.load.staging.layouts import is_bridge, observe, prices_of
from cbi_assets.load.staging.read import StagingFile, decode, fetch_all
from cbi_assets.load.staging.staging_ledger import Books, Entry, record_file, unreadable_entry
from cbi_assets.load.staging.validate import PUBLISHED_SCHEMA, validate
from cbi_assets.session import Project, Session
from cbi_assets.tables import (
    MACRO_OBSERVATIONS,
    REFUSED_OBSERVATIONS,
    STAGING_FILES,
    YAHOO_BRIDGE,
)
from cbi_assets.warehouse.base import Assertion, Statement, Warehouse
from cbi_assets.warehouse.sql_files import load_sql

logger = logging.getLogger(__name__)

RULES_VERSION = 2
"""Increase it when validation changes in code: all files are then validated again."""


@dataclass(frozen=True)
class StagingOutcome:
    """What a load of staging did.

    `load_id` is None if nothing was new. `entries` are the books of the files validated now, one
    per source. `problems` has a line per file that could not be read. `known` counts the files
    validated before.
    """

    load_id: str | None = None
    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    known: int = 0
    checks: list[CheckResult] = field(default_factory=list)

    @property
    def has_failures(self) -> bool:
        """Whether a file could not be read or a check failed; refused rows are not failures."""
        return bool(self.problems) or any(result.failed for result in self.checks)


def load_staging_files(session: Session) -> StagingOutcome:
    """Validate staging's new files row by row and publish the valid rows.

    A file is identified by its bytes and validated once. When sources.yaml, macro.yaml or the
    universe's roots change, all files in the folder are validated again, in the order in which they
    were first seen. Rows of deleted files stay. An unreadable file stops no other.

    Raises AuditError if the books do not balance; then nothing was published.
    """
    project, warehouse, now = session.project, session.warehouse, session.now
    staging = session.settings.staging
    if staging is None or not staging.is_dir():
        logger.info("no staging folder, so no macro series were loaded")
        return StagingOutcome()
    version = ledger_version(warehouse)
    rules = rules_hash(project)
    recorded = {
        file_id: (rules_of, seen_at)
        for file_id, rules_of, seen_at in warehouse.query(
            "SELECT file_id, MAX(rules_hash) AS rules_hash, MIN(seen_at) AS seen_at "
            f"FROM `{STAGING_FILES.id}` GROUP BY file_id"
        ).iter_rows()
    }
    problems: list[str] = []
    todo: dict[str, StagingFile] = {}
    known = 0
    for found in fetch_all(staging):
        if isinstance(found, SourceError):
            problems.append(str(found))
        elif recorded.get(found.id, ("", now))[0] == rules:
            known += 1
        elif found.id in todo:
            logger.info(
                "%s: the same bytes as %s; they are loaded once", found.path, todo[found.id].path
            )
        else:
            todo[found.id] = found
    if not todo:
        return StagingOutcome(problems=problems, known=known)
    revalidated = [file_id for file_id in todo if file_id in recorded]
    files = sorted(todo.values(), key=lambda f: (recorded.get(f.id, ("", now))[1], f.path))
    books = _Validation(session, revalidated).run(
        files, {f.id: recorded[f.id][1] if f.id in recorded else now for f in files}
    )
    load_id = f"S{now:%Y%m%dT%H%M%S}-{_digest([*sorted(todo), rules])[:8]}"
    warehouse.transact(
        with_version_guard(
            _publication(project, warehouse, books, revalidated, rules, load_id, now), version
        )
    )
    return StagingOutcome(load_id, books.entries, [*problems, *books.problems], known)


def rules_hash(project: Project) -> str:
    """Return the hash of everything that decides how a file is validated."""
    sources = project.sources
    stitch = sources.stitch.model_dump_json() if sources.stitch else ""
    parts = [str(RULES_VERSION), sources.staging.model_dump_json(), stitch]
    return _digest([*parts, project.macro.model_dump_json(), *sorted(project.universe.roots)])[:16]


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class _Validation:
    """The files of one load, validated one after another against the published rows."""

    def __init__(self, session: Session, revalidated: list[str]) -> None:
        self._project = session.project
        warehouse = session.warehouse
        stays = ~pl.col("source_file_id").is_in(revalidated)
        published = warehouse.query(
            "SELECT series_id, reference_date, available_at, value, source, source_file_id "
            f"FROM `{MACRO_OBSERVATIONS.id}`"
        ).filter(stays)
        self._published = published.with_columns(is_new=False).select(
            pl.col(name).cast(kind) for name, kind in PUBLISHED_SCHEMA.items()
        )
        bars = warehouse.query(f"SELECT * FROM `{YAHOO_BRIDGE.id}`").filter(stays)
        self._bars = bars.select(pl.col(name).cast(kind) for name, kind in PUBLISHED_BARS.items())
        self._books = Books()

    def run(self, files: list[StagingFile], seen: dict[str, dt.datetime]) -> Books:
        for file in log_steps(files, lambda file: f"validating {file.path}", logger=logger):
            try:
                frame = decode(file)
            except SourceError as error:
                self._books.problems.append(str(error))
                self._books.entries.append(unreadable_entry(file, str(error), seen[file.id]))
                continue
            self._validate(file, frame, seen[file.id])
        return self._books

    def _validate(self, file: StagingFile, frame: pl.DataFrame, seen_at: dt.datetime) -> None:
        sources = self._project.sources
        stitch = sources.stitch
        if stitch is not None and is_bridge(frame, stitch):
            rows, bars = validate_bridge(read_bridge(frame, stitch), stitch, self._bars)
            self._bars = pl.concat([self._bars, bars])
            self._books.bars.append(bars.with_columns(source_file_id=pl.lit(file.id)))
            record_file(self._books, file, "bridge", frame, rows, seen_at)
            return
        if why := prices_of(frame, self._project.universe.roots):
            self._books.entries.append(
                unreadable_entry(file, f"{why}: prices come from Databento alone", seen_at, frame)
            )
            return
        layout, observations = observe(file.name, frame, sources.staging.declared)
        validated = validate(
            layout, observations, self._published, sources.staging, self._project.macro, seen_at
        )
        published = validated.published()
        self._published = pl.concat(
            [self._published, published.with_columns(is_new=True).select(*PUBLISHED_SCHEMA)]
        )
        self._books.observations.append(published.with_columns(source_file_id=pl.lit(file.id)))
        record_file(self._books, file, layout, frame, validated.observations, seen_at)


def _publication(
    project: Project,
    warehouse: Warehouse,
    books: Books,
    revalidated: list[str],
    rules: str,
    load_id: str,
    now: dt.datetime,
) -> list[Statement]:
    params = {"load_id": load_id, "loaded_at": now}
    statements: list[Statement] = []
    if revalidated:
        chosen = warehouse.stage_frame(
            "staging_revalidated", pl.DataFrame({"file_id": revalidated})
        )
        for spec, column in (
            (MACRO_OBSERVATIONS, "source_file_id"),
            (YAHOO_BRIDGE, "source_file_id"),
            (REFUSED_OBSERVATIONS, "source_file_id"),
            (STAGING_FILES, "file_id"),
        ):
            sql = load_sql(
                "staging/delete_files",
                target=spec.id,
                # Ledger tables are not partitioned, so any date will do.
                date=spec.partition_by or "DATE '1900-01-01'",
                column=column,
                chosen=chosen,
            )
            statements.append(Statement(sql))
    stitch = project.sources.stitch
    bridge = (
        {}
        if stitch is None
        else {
            "root": stitch.root,
            "close_kind": stitch.close_kind,
            "scale": stitch.scale,
            "adjustment": stitch.adjustment,
            "source": stitch.source,
        }
    )
    for name, frames in (
        ("observations", books.observations),
        ("bridge", books.bars),
        ("refused", books.refused),
        ("files", [books.ledger(rules)]),
    ):
        frame = pl.concat(frames) if frames else pl.DataFrame()
        if frame.is_empty():
            continue
        staged = warehouse.stage_frame(f"staging_{name}", frame)
        statements.append(
            Statement(load_sql(f"staging/insert_{name}", staged=staged), params | bridge)
        )
    statements += [
        Assertion(
            load_sql("staging/assert_unique"),
            subject="{0} of {1}",
            message="would be published {2} times",
            remedy="Nothing from staging was published.",
        ),
        Assertion(
            load_sql("staging/assert_balanced"),
            subject="{0}",
            message="{1} observations in the books, {2} in the tables; the books are off by {3}",
            remedy="Nothing from staging was published.",
        ),
    ]
    return statements
