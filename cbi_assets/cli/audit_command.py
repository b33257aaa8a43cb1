"""cbi audit: the state of everything, as documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cbi_assets.cli.app import Json, Wait, app, now_utc


@app.command()
def audit(
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for audit.md, .html and .json (default: CBI_HOME/audit/latest)."),
    ] = None,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Write the state of drive, tables and checks. Example: cbi audit --out docs/audit"""
    from cbi_assets.cli import console
    from cbi_assets.report import take_audit, write_audit
    from cbi_assets.session import Project, open_session

    with (
        console.reading() as progress,
        open_session(Project(), now=now_utc(), wait=wait, progress=progress) as session,
    ):
        written = write_audit(session.home, take_audit(session), out)
    if json:
        typer.echo(written.json.read_text(), nl=False)
    else:
        _show(written)
    if written.audit.has_failures:
        raise typer.Exit(1)


def _show(written: Any) -> None:
    from cbi_assets.cli import console
    from cbi_assets.formatting import instant
    from cbi_assets.report.compose import compose

    found = written.audit
    page = compose(found)
    console.table("Data audit", ["what", "figure"], page.facts)
    if found.since.previous is not None:
        rows = [(c.kind, c.what, c.before or "", c.after or "") for c in found.since.changes]
        if rows:
            title = f"Since {instant(found.since.previous)} UTC"
            console.table(title, ["kind", "what", "before", "now"], rows[:20])
        if len(rows) > 20:
            console.say(f"{len(rows) - 20} more changes: see the document.")
    for decision in found.decisions[:20]:
        console.say(f"Needs action: {decision.what}: {decision.command}")
    console.say(page.verdict)
    console.say(f"Written to {written.html}, with Markdown and JSON next to it.")
    console.say(f"Next: {found.next_step.command} ({found.next_step.why})")
