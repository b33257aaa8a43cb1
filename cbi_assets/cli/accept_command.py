"""cbi accept: take the files of a job with a damaged manifest as they are, on record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cbi_assets.cli.app import Json, Wait, app, command_session
from cbi_assets.errors import UsageError
from cbi_assets.formatting import plural

if TYPE_CHECKING:
    from cbi_assets.load.accept import AcceptScope


@app.command()
def accept(
    job: Annotated[str | None, typer.Option(help="A job's id, or its folder.")] = None,
    file: Annotated[str | None, typer.Option(help="A file's sha256, or its start.")] = None,
    by: Annotated[str, typer.Option("--by", help="Your name.")] = "",
    why: Annotated[str, typer.Option("--why", help="Why the files can be trusted.")] = "",
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Overrule a damaged manifest, on record. Example: cbi accept --job J --by NAME --why TEXT"""
    from cbi_assets.cli.console import print_json, reading, say
    from cbi_assets.load.accept import accept_files
    from cbi_assets.load.load import inventory

    scopes: dict[AcceptScope, str | None] = {"job": job, "file": file}
    given = [(scope, value) for scope, value in scopes.items() if value is not None]
    if len(given) != 1:
        raise UsageError("exactly one of --job and --file is needed")
    with reading() as progress, command_session(wait, progress=progress) as session:
        found = inventory(session)
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
