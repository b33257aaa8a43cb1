"""Accept: take the files of a job whose manifest is damaged as they are, on record."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cbi_assets.drive.file_records import FileRecord, FormatDetails, SidecarDetails
from cbi_assets.drive.sidecars import job_of
from cbi_assets.drive.survey import Survey
from cbi_assets.errors import UsageError
from cbi_assets.ledger.append import append_rows
from cbi_assets.session import Session
from cbi_assets.tables import ACCEPTANCES
from cbi_assets.warehouse.base import Warehouse

AcceptScope = Literal["job", "file"]


@dataclass(frozen=True)
class Acceptance:
    """One acceptance on record, and the files that it names."""

    acceptance_id: str
    by: str
    why: str
    files: list[FileRecord]


def accepted_keys(warehouse: Warehouse) -> frozenset[str]:
    """Return what was accepted so far, as `FileRecord.acceptance_key` names it."""
    found = warehouse.query(f"SELECT DISTINCT file_id FROM `{ACCEPTANCES.id}`")
    return frozenset(found["file_id"])


def accept_files(
    session: Session, found: Survey, scope: AcceptScope, value: str, *, by: str, why: str
) -> Acceptance:
    """Record that a person takes refused files as they are; the next load reads them.

    Only a damaged manifest can be overruled. The acceptance is of these bytes: a file that changes
    afterwards is refused again.

    Parameters
    ----------
    session : Session
        Where ops.acceptances is.
    found : Survey
        What is on the drive.
    scope : "job" or "file"
        What `value` names: a job by its id or folder, or a file by its sha256 or the start of it.
    value : str
        The job or file.
    by, why : str
        The person's name and reason.

    Raises
    ------
    UsageError
        If name or reason is empty, or no refused file or more than one file is meant.
    """
    require_signed(by, why)
    matches: Callable[[FileRecord], bool] = (
        (lambda file: _is_of_job(file, value))
        if scope == "job"
        else (lambda file: bool(value) and file.acceptance_key.startswith(value))
    )
    meant = [file for file in (*found.files, *found.lacking) if matches(file)]
    files = [file for file in meant if file.fault == "manifest"]
    if not files:
        refused = next((file for file in meant if file.trust == "refused"), None)
        raise UsageError(
            f"it is refused for another reason, which no acceptance overrules: {refused.reason}"
            if refused
            else "no file of it is refused for a damaged manifest",
            subject=f"--{scope} {value}",
            remedy="" if refused else "`cbi inventory` lists the files and jobs.",
        )
    if scope == "file" and len({file.acceptance_key for file in files}) > 1:
        raise UsageError(
            "it matches more than one file's ID",
            subject=f"--file {value}",
            remedy="Give more of it.",
        )
    acceptance = Acceptance(uuid.uuid4().hex[:12], by.strip(), why.strip(), files)
    rows = {
        file.acceptance_key: {
            "acceptance_id": acceptance.acceptance_id,
            "file_id": file.acceptance_key,
            "path": file.path,
            "job_id": _job_id(file),
            "overruled": file.reason,
            "accepted_by": acceptance.by,
            "why": acceptance.why,
            "accepted_at": session.now.astimezone(dt.UTC),
        }
        for file in files
    }
    append_rows(session.warehouse, ACCEPTANCES, rows.values())
    return acceptance


def require_signed(by: str, why: str) -> None:
    """Raise UsageError if a person's name or reason is empty."""
    for option, text in (("--by", by), ("--why", why)):
        if not text.strip():
            raise UsageError("a name is needed" if option == "--by" else "a reason is needed",
                             subject=option)  # fmt: skip


def _is_of_job(file: FileRecord, job: str) -> bool:
    return job.rstrip("/") in (_job_id(file), job_of(file.path), file.folder)


def _job_id(file: FileRecord) -> str | None:
    details = file.details
    return details.job_id if isinstance(details, FormatDetails | SidecarDetails) else None
