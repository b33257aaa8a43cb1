"""cbi accept: take files of a damaged manifest as they are, or a job's later version of days."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cbi_assets.cli.app import Json, Wait, app, command_session
from cbi_assets.errors import UsageError
from cbi_assets.formatting import plural

if TYPE_CHECKING:
    from cbi_assets.load.accept import AcceptScope
    from cbi_assets.load.revisions import Revision
    from cbi_assets.session import Session

_SHOWN = 40
"""Rows of the difference that a terminal shows; --json has all."""


@app.command()
def accept(
    job: Annotated[str | None, typer.Option(help="A job's id, or its folder.")] = None,
    file: Annotated[str | None, typer.Option(help="A file's sha256, or its start.")] = None,
    by: Annotated[str, typer.Option("--by", help="Your name.")] = "",
    why: Annotated[str, typer.Option("--why", help="Why the files can be trusted.")] = "",
    show: Annotated[
        bool, typer.Option("--show", help="Only show which published bars the job would change.")
    ] = False,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Accept a damaged manifest or later bars. Example: cbi accept --job J --by NAME --why TEXT"""
    from cbi_assets.cli.console import print_json, say
    from cbi_assets.cli.progress import working
    from cbi_assets.load.accept import accept_files
    from cbi_assets.load.load import inventory
    from cbi_assets.load.revisions import find_revision

    scopes: dict[AcceptScope, str | None] = {"job": job, "file": file}
    given = [(scope, value) for scope, value in scopes.items() if value is not None]
    if len(given) != 1:
        raise UsageError("exactly one of --job and --file is needed")
    with working() as progress, command_session(wait, progress=progress) as session:
        found = inventory(session)
        revision = None if job is None else find_revision(session, found, job)
        if revision is not None:
            _replace(session, revision, by, why, show, json)
            return
        if show:
            raise UsageError(
                "it has no later version of published days", subject=f"--{given[0][0]}"
            )
        acceptance = accept_files(session, found, *given[0], by=by, why=why)
    if json:
        print_json(
            {
                "acceptance_id": acceptance.acceptance_id,
                "accepted_by": acceptance.by,
                "why": acceptance.why,
                "files": [
                    {"path": f.path, "file_id": f.acceptance_key, "overruled": f.reason}
                    for f in acceptance.files
                ],
            }
        )
        return
    say(
        f"{plural(len(acceptance.files), 'file')} accepted by {acceptance.by}, on record in "
        f"ops.acceptances ({acceptance.acceptance_id}). They stay unverified."
    )
    say("Next: cbi load")


def _replace(
    session: Session, revision: Revision, by: str, why: str, show: bool, json: bool
) -> None:
    """Show the difference bar by bar and, unless only that is asked, replace the published bars."""
    from cbi_assets.cli.console import print_json, say, table
    from cbi_assets.pipeline.terminal import record_load
    from cbi_assets.verbs import accept_revision

    rows = revision.differences
    if not json:
        cells = [
            (r["difference"], r["symbol"], r["timeframe"], f"{r['ts_event']:%Y-%m-%d %H:%M}", *(
                _change(r[f"old_{name}"], r[f"new_{name}"])
                for name in ("open", "high", "low", "close", "volume", "instrument_id")
            ))
            for r in rows.head(_SHOWN).iter_rows(named=True)
        ]  # fmt: skip
        columns = ["", "symbol", "timeframe", "start (UTC)", "open", "high", "low", "close",
                   "volume", "instrument"]  # fmt: skip
        if cells:
            table(f"Job {revision.job}: {revision.summary}", columns, cells)
        else:
            say(f"Job {revision.job}: {revision.summary}")
        if rows.height > _SHOWN:
            say(f"… and {rows.height - _SHOWN:,} more: --json lists all.")
    document = {"job": revision.job, "days": revision.days, "differences": rows.to_dicts()}
    if show:
        if json:
            print_json(document)
        else:
            say(f"Next: cbi accept --job {revision.job} --by NAME --why TEXT")
        return
    acceptance, outcome = accept_revision(session, revision, by=by, why=why)
    record_load(session, outcome)
    if json:
        print_json(document | {"acceptance_id": acceptance, "load_id": outcome.load_id})
        return
    say(
        f"Replaced by the version of job {revision.job}, accepted by {by.strip()}, on record in "
        f"ops.acceptances ({acceptance}). The old records are quarantined as superseded."
    )
    say("Next: cbi build")


def _change(old: float | None, new: float | None) -> str:
    if old == new:
        return f"{new:g}"
    return f"{'none' if old is None else f'{old:g}'} → {'none' if new is None else f'{new:g}'}"
