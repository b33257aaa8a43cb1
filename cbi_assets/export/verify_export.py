"""Compare an export with its manifest, and with what the warehouse has now."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbi_assets.errors import UsageError
from cbi_assets.export.export_tables import MANIFEST, fingerprint_text, select_tables, write_file
from cbi_assets.session import Session


@dataclass(frozen=True)
class Verdict:
    """What differs: files that are `damaged` or absent, files whose rows have `moved` on."""

    files: int
    damaged: list[str]
    moved: list[str]

    @property
    def is_current(self) -> bool:
        """Whether the files are intact and the warehouse would export the same."""
        return not self.damaged and not self.moved


def verify_export(session: Session, folder: Path) -> Verdict:
    """Compare a folder's files with their sha256, and their tables with their fingerprints.

    A file of a table that changed is written again, into a temporary folder, and compared: another
    symbol's rows may be what changed. Raises UsageError without a readable manifest.
    """
    manifest = _read_manifest(folder)
    damaged, moved, count = [], [], 0
    scratch = session.home.scratch / "verify"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        for table in manifest["tables"]:
            (spec,) = select_tables(table["table"])
            source = spec.reads or spec
            exists = session.warehouse.live_table(spec) is not None
            before = manifest["sources"][source.id]
            changed = not exists or fingerprint_text(session.warehouse, source) != before
            for file in table["files"]:
                count += 1
                path = folder / file["path"]
                if not path.is_file() or _sha256(path) != file["sha256"]:
                    damaged.append(file["path"])
                if not changed:
                    continue
                if not exists or _now(session, spec, file, manifest, scratch) != file["sha256"]:
                    moved.append(file["path"])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Verdict(count, damaged, moved)


def _now(
    session: Session, spec: Any, file: dict[str, Any], manifest: dict[str, Any], scratch: Path
) -> str:
    entry = write_file(session.warehouse, spec, file["symbol"], manifest["format"], scratch)
    (scratch / entry["path"]).unlink()
    return str(entry["sha256"])


def _sha256(path: Path) -> str:
    with open(path, "rb") as raw:
        return hashlib.file_digest(raw, "sha256").hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
        assert {"tables", "sources", "format"} <= manifest.keys()
    except (OSError, ValueError, AssertionError, AttributeError):
        raise UsageError(
            "no readable manifest of an export",
            subject=str(path),
            remedy="Name the folder of an export.",
        ) from None
    return manifest
