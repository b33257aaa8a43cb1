"""Write an audit: Markdown, HTML and JSON in one folder, and the JSON kept for the next audit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from cbi_assets.config.settings import Home
from cbi_assets.errors import UsageError
from cbi_assets.report.changes import FORMAT, changes_since, figures_of
from cbi_assets.report.compose import compose
from cbi_assets.report.facts import Audit
from cbi_assets.report.html import write_html
from cbi_assets.report.markdown import write_markdown

KEPT: Final = 50
"""Earlier audits' JSON that a home keeps."""


@dataclass(frozen=True)
class Written:
    """An audit with what changed since the last one, and where its documents are."""

    audit: Audit
    markdown: Path
    html: Path
    json: Path


def write_audit(home: Home, audit: Audit, out: Path | None = None) -> Written:
    """Compare the audit with the last one of this home, write `audit.md`, `audit.html` and
    `audit.json` into `out` (`$CBI_HOME/audit/latest` where None), and keep the JSON.

    Raises UsageError where `out` cannot be written.
    """
    kept = home.root / "audit"
    previous, note = read_previous(kept)
    whole = replace(audit, since=changes_since(audit, previous, note))
    page = compose(whole)
    folder = out or kept / "latest"
    document = json.dumps(document_of(whole), ensure_ascii=False, indent=1, default=str) + "\n"
    texts = {
        "audit.md": write_markdown(page),
        "audit.html": write_html(page),
        "audit.json": document,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            _replace(folder / name, text)
    except OSError as error:
        raise UsageError(f"--out {folder}: cannot be written ({error.strerror}).") from None
    kept.mkdir(parents=True, exist_ok=True)
    _replace(kept / f"{whole.made_at:%Y%m%dT%H%M%S%f}.json", document)
    for old in sorted(kept.glob("*.json"))[:-KEPT]:
        old.unlink()
    return Written(whole, folder / "audit.md", folder / "audit.html", folder / "audit.json")


def document_of(audit: Audit) -> dict[str, Any]:
    """The audit as JSON values, but for dates and instants, which `str` writes in ISO's form."""
    return {
        "format": FORMAT,
        "sound": not audit.fell_short,
        **asdict(audit),
        "figures": figures_of(audit),
    }


def read_previous(kept: Path) -> tuple[Mapping[str, Any] | None, str]:
    """The newest kept audit's document; or None, and why it cannot be compared with."""
    newest = max(kept.glob("*.json"), default=None)
    if newest is None:
        return None, ""
    try:
        document = json.loads(newest.read_bytes())
        if document["format"] == FORMAT and isinstance(document["figures"], dict):
            return document, ""
        why = "it has another format"
    except (OSError, ValueError, KeyError, TypeError):
        why = "it is no audit's JSON"
    return None, f"{newest.name}, the previous audit, cannot be compared with: {why}."


def _replace(path: Path, text: str) -> None:
    """Write the file whole or not at all."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text)
    beside.replace(path)
