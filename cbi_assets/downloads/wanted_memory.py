"""What a home remembers of comparing the universe with the raw tables, which the lights need.

The comparison depends on the published bars and fetched days that the warehouse lists, on the
drive's jobs, on the last complete trade date, and on configuration and code. Where all of this is
what it was, so is the result.
"""

from __future__ import annotations

import contextlib
import hashlib
from functools import cache
from pathlib import Path
from typing import Final

import polars as pl
from pydantic import TypeAdapter, ValidationError

from cbi_assets.checks.slices import SLICES
from cbi_assets.config.downloads import load_policy
from cbi_assets.downloads.wanted import Wanted, last_complete, survey
from cbi_assets.drive.file_records import SidecarDetails
from cbi_assets.files import write_atomically
from cbi_assets.ledger.bar_ledger import bar_ledger_query
from cbi_assets.ledger.vendor_days import FETCHES
from cbi_assets.session import Session
from cbi_assets.tables import RAW

READS: Final = (FETCHES, SLICES, bar_ledger_query())
"""What the comparison asks the warehouse, unless a root is planned by contracts."""

_PACKAGE: Final = Path(__file__).parents[1]
_CODE: Final = ("checks", "config", "downloads", "drive", "ledger", "market", "warehouse/sql")
"""The folders of the project with the code and the configuration that the result depends on."""

_OF_SLICES: Final = ("table_id", "root", "month", "ledger", "published")
_RAW_IDS: Final = [table.id for table in RAW.values()]


def survey_unless_known(session: Session) -> Wanted:
    """Return what `survey` returns for the universe, without clients.

    Nothing is compared if the home remembers the result for the same input. A file with it that is
    damaged is ignored, and replaced.
    """
    key, path = _key(session), session.home.wanted
    known = TypeAdapter(Wanted)
    with contextlib.suppress(OSError, UnicodeDecodeError, ValidationError):
        head, _, body = path.read_text().partition("\n")
        if head == _head(key, body):
            return known.validate_json(body)
    wanted = survey(session)
    body = known.dump_json(wanted).decode()
    with contextlib.suppress(OSError):  # the next command compares again, and nothing else
        write_atomically(path, f"{_head(key, body)}\n{body}")
    return wanted


def _head(key: str, body: str) -> str:
    return hashlib.sha256(f"{key} {body}".encode()).hexdigest()


def _key(session: Session) -> str:
    """Return a hash of all that the comparison depends on."""
    project, catalog = session.project, session.catalog
    sidecars = [
        (file.path, file.details)
        for file in catalog.files().values()
        if isinstance(file.details, SidecarDetails)
    ]
    parts = (
        _code(),
        str(last_complete(session.now)),
        project.universe.model_dump_json(),
        project.sources.databento.model_dump_json(),
        load_policy().model_dump_json(),
        repr(sorted(project.datasets.items())),
        repr(sidecars),
        repr(catalog.paths_by_id()),
        *(_digest(_relevant(session.warehouse.query(query.sql, query.params))) for query in READS),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@cache
def _code() -> str:
    """Return a hash of the code and the packaged configuration, and the version of Polars."""
    digest = hashlib.sha256(pl.__version__.encode())
    for folder in _CODE:
        for path in sorted((_PACKAGE / folder).rglob("*")):
            if path.suffix in (".py", ".sql", ".yaml"):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _relevant(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows, of slices only the raw tables' without their verdicts."""
    if not set(_OF_SLICES) <= set(rows.columns):
        return rows
    return rows.filter(pl.col("table_id").is_in(_RAW_IDS)).select(_OF_SLICES)


def _digest(rows: pl.DataFrame) -> str:
    """Return a hash of rows in any order."""
    return hashlib.sha256(rows.hash_rows().sort().to_numpy().tobytes()).hexdigest()
