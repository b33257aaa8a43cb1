"""cbi audit: the state of everything, as documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cbi_assets.cli.app import Json, Wait, app, command_session

if TYPE_CHECKING:
    from cbi_assets.report.write import Written

_LISTED = 20
"""Changes and decisions that the terminal lists; the documents have all of them."""


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
    from cbi_assets.cli.console import reading
    from cbi_assets.report import take_audit, write_audit

    with reading() as progress, command_session(wait, progress=progress) as session:
        written = write_audit(session.home, take_audit(session), out)
    if json:
        typer.echo(written.json.read_text(), nl=False)
    else:
        _show(written)
    if written.audit.has_failures:
        raise typer.Exit(1)


def _show(written: Written) -> None:
    from cbi_assets.cli.console import say, table
    from cbi_assets.formatting import instant
    from cbi_assets.report.compose import compose

    audit = written.audit
    page = compose(audit)
    table("Data audit", ["what", "figure"], page.facts)
    if audit.since.previous is not None:
        rows = [(c.kind, c.what, c.before or "", c.after or "") for c in audit.since.changes]
        if rows:
            title = f"Since {instant(audit.since.previous)} UTC"
            table(title, ["kind", "what", "before", "now"], rows[:_LISTED])
        if len(rows) > _LISTED:
            say(f"{len(rows) - _LISTED} more changes are in the documents.")
    for decision in audit.decisions[:_LISTED]:
        say(f"needs action: {decision.what}: {decision.command}")
    say(page.verdict)
    say(f"Written to {written.html}, with Markdown and JSON next to it.")
    say(f"Next: {audit.lights.next.command} ({audit.lights.next.text})")
