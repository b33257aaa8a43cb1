"""cbi audit: the state of everything, as documents."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cbi_assets.cli.app import All, Json, Wait, app, command_session, date_option

if TYPE_CHECKING:
    from cbi_assets.report.write import Written

_LISTED = 10
"""Changes and decisions that the terminal lists without --all."""

_CHANGES = ("kind", "what", "before", "now")


@app.command()
def audit(
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for audit.md, .html and .json (default: CBI_HOME/audit/latest)."),
    ] = None,
    since: Annotated[
        dt.date | None,
        date_option("--since", help="Compare with the last audit of this date or before it."),
    ] = None,
    everything: All = False,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Write the state of drive, tables and checks. Example: cbi audit --out docs/audit"""
    from cbi_assets.cli.progress import working
    from cbi_assets.report.take_audit import take_audit
    from cbi_assets.report.write import write_audit

    with working() as progress, command_session(wait, progress=progress) as session:
        written = write_audit(session.home, take_audit(session), out, since)
    if json:
        typer.echo(written.json.read_text(), nl=False)
    else:
        _show(written, everything)
    if written.audit.has_failures:
        raise typer.Exit(1)


def _show(written: Written, everything: bool) -> None:
    from cbi_assets.cli.console import say, table
    from cbi_assets.cli.show_lights import show_lights
    from cbi_assets.formatting import instant
    from cbi_assets.report.compose import compose

    audit = written.audit
    page = compose(audit)
    limit = None if everything else _LISTED
    if everything:
        table("Data audit", ["what", "figure"], page.facts)
    changes = audit.since.changes
    if audit.since.previous is not None and not changes:
        say(f"Nothing changed since {instant(audit.since.previous)} UTC.")
    elif audit.since.previous is not None:
        rows = [(c.kind, c.what, c.before or "", c.after or "") for c in changes[:limit]]
        table(f"Since {instant(audit.since.previous)} UTC", _CHANGES, rows)
        if len(changes) > len(rows):
            say(f"… and {len(changes) - len(rows):,} more changes: --all lists them.")
    for decision in audit.decisions[:limit]:
        say(f"needs action: {decision.what}: {decision.command}")
    if limit is not None and len(audit.decisions) > limit:
        say(f"… and {len(audit.decisions) - limit:,} more: --all lists them.")
    say(f"Written to {written.html}, with Markdown and JSON next to it.")
    say(page.verdict, style="bold")
    show_lights(audit.lights)
