"""Write an audit: Markdown, HTML and JSON in one folder, and the JSON kept for the next audit."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from cbi_assets.config.settings import Home
from cbi_assets.errors import UsageError
from cbi_assets.files import write_atomically
from cbi_assets.report.audit_model import Audit
from cbi_assets.report.changes import FORMAT, changes_since, figures_of
from cbi_assets.report.compose import compose
from cbi_assets.report.html import VEGA_LITE, vega_runtime, write_html
from cbi_assets.report.markdown import write_markdown

KEPT: Final = 50
"""Earlier audits' JSON that a home keeps."""


@dataclass(frozen=True)
class Written:
    """An audit with its changes since the last one, and the paths of its documents."""

    audit: Audit
    markdown: Path
    html: Path
    json: Path


def write_audit(
    home: Home, audit: Audit, out: Path | None = None, since: dt.date | None = None
) -> Written:
    """Compare an audit with an earlier one of this home, write its documents, and keep the JSON.

    Writes `audit.md`, `audit.html` and `audit.json` into `out`, by default
    `$CBI_HOME/audit/latest`. The earlier one is the last or, with `since`, the last that was made
    on that date (UTC) or before it. Raises UsageError if there is none of then, or if the documents
    cannot be written.
    """
    kept = home.root / "audit"
    audit = replace(audit, since=changes_since(audit, *read_previous(kept, since)))
    page = compose(audit)
    kept.mkdir(parents=True, exist_ok=True)
    folder = out or kept / "latest"
    document = json.dumps(document_of(audit), ensure_ascii=False, indent=1, default=str) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "audit.md", write_markdown(page))
        write_atomically(folder / "audit.html", write_html(page, _runtime(kept, audit)))
        write_atomically(folder / "audit.json", document)
    except OSError as error:
        raise UsageError(
            f"cannot be written ({error.strerror})",
            subject=f"--out {folder}",
            remedy="Choose another folder.",
        ) from None
    write_atomically(kept / f"{audit.made_at:%Y%m%dT%H%M%S%f}.json", document)
    for old in sorted(kept.glob("*.json"))[:-KEPT]:
        old.unlink()
    return Written(audit, folder / "audit.md", folder / "audit.html", folder / "audit.json")


def _runtime(kept: Path, audit: Audit) -> bytes:
    """Return the plots' script if there are prices to explore; it is made once per home."""
    if not audit.charts:
        return b""
    path = kept / f"vega-lite-{VEGA_LITE}.js.gz"
    if not path.exists():
        write_atomically(path, vega_runtime())
    return path.read_bytes()


def document_of(audit: Audit) -> dict[str, Any]:
    """Return the audit as JSON values, except dates and timestamps, which `str` makes ISO text."""
    return {
        "format": FORMAT,
        "sound": not audit.has_failures,
        **_to_json(audit),
        "lights": audit.lights.document(),
        "next_step": audit.lights.document()["next"],
        "figures": figures_of(audit),
    }


def _to_json(value: Any) -> Any:
    if isinstance(value, pl.DataFrame):
        return value.to_dicts()
    if is_dataclass(value):
        kept = [field.name for field in fields(value) if field.name != "daily"]  # a count per day
        return {name: _to_json(getattr(value, name)) for name in kept}
    return [_to_json(item) for item in value] if isinstance(value, tuple) else value


def read_previous(kept: Path, since: dt.date | None = None) -> tuple[Mapping[str, Any] | None, str]:
    """Return the newest kept audit's document, or None and why there is none to compare with.

    With `since`, the newest of that date or before it. Raises UsageError if all are later.
    """
    found = sorted(kept.glob("*.json"))
    until = [path for path in found if since is None or path.stem[:8] <= f"{since:%Y%m%d}"]
    if since is not None and not until:
        first = dt.datetime.strptime(found[0].stem[:8], "%Y%m%d").date() if found else "today"
        raise UsageError(
            f"there is no audit of then or before: the first one kept is of {first}",
            subject=f"--since {since}",
            remedy="Give a later date, or leave it out to compare with the last audit.",
        )
    if not until:
        return None, ""
    newest = until[-1]
    try:
        document = json.loads(newest.read_bytes())
        if document["format"] in (1, FORMAT) and isinstance(document["figures"], dict):
            return document, ""
        why = "it has another format"
    except (OSError, ValueError, KeyError, TypeError):
        why = "it is not an audit's JSON"
    return None, f"The previous audit, {newest.name}, cannot be compared: {why}."
