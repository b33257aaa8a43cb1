"""Follow the state of trust of loaded files, which a manifest that arrives later can change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import polars as pl

from cbi_assets.drive.survey import Survey
from cbi_assets.drive.trust import Trust
from cbi_assets.tables import SOURCE_FILES
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.sql_files import load_sql

_BEST_FIRST: tuple[Trust, ...] = ("verified", "unverified", "refused")


def trust_by_file(survey: Survey) -> dict[str, Trust]:
    """Return, by sha256, the best state of any file on the drive with these bytes."""
    found: dict[str, set[Trust]] = defaultdict(set)
    for file in survey.files:
        if file.source_file_id is not None and file.verdict in ("bars", "refused"):
            found[file.source_file_id].add(file.trust)
    return {
        file_id: next(trust for trust in _BEST_FIRST if trust in trusts)
        for file_id, trusts in found.items()
    }


def changed_trusts(survey: Survey, known: pl.DataFrame) -> dict[str, Trust]:
    """Return, by id, the state of each file in the books that has another one now.

    A file is refused once the drive has other bytes under its path and these nowhere. Files that
    are gone from the drive keep their state. `known` has the columns id, path and trust.
    """
    by_id = trust_by_file(survey)
    replaced = {
        file.path: file.source_file_id
        for file in survey.files
        if file.area == "drive" and file.source_file_id is not None
    }
    changed: dict[str, Trust] = {}
    for file_id, path, before in known.select("id", "path", "trust").iter_rows():
        now = by_id.get(file_id)
        is_own = file_id in survey.contents  # another home may load from another drive
        if now is None and is_own and replaced.get(path, file_id) != file_id:
            now = "refused"
        if now is not None and now != before:
            changed[file_id] = now
    return changed


def trust_statements(warehouse: Warehouse, changed: Mapping[str, Trust]) -> list[Statement]:
    """Return the statements that record changed states in ops.source_files."""
    if not changed:
        return []
    rows = list(changed.items())
    frame = pl.DataFrame(rows, schema=SOURCE_FILES.schema_of("id", "trust"), orient="row")
    staged = warehouse.stage_frame("trusts", frame)
    return [Statement(load_sql("ledger/update_trust", staged=staged))]
