"""cbi alert: tell a person what waits, once."""

from __future__ import annotations

from typing import Annotated

import typer

from cbi_assets.cli.app import Json, Wait, app, now_utc
from cbi_assets.errors import UsageError


@app.command()
def alert(
    test: Annotated[
        bool, typer.Option("--test", help="Only send each address of CBI_ALERT_URLS a test.")
    ] = False,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Tell CBI_ALERT_URLS what is new of what waits for a person. Example: cbi alert --test"""
    from cbi_assets.alerts import look_and_tell, read_addresses, send_test
    from cbi_assets.cli import console
    from cbi_assets.session import Project

    project = Project()
    addresses = read_addresses(project.settings)
    if test:
        if not addresses:
            raise UsageError(
                "CBI_ALERT_URLS is not set: name an address in the environment or in .env, e.g. "
                "mailtos://USER:PASSWORD@example.com"
            )
        sent = send_test(project.home, addresses)
        if json:
            console.print_json({"told": sent.told, "failed": sent.failed})
        else:
            for name in sent.told:
                console.say(f"{name} took the test.")
        sent.require_sent()
        return
    found = look_and_tell(project, addresses, now_utc(), wait)
    if json:
        console.print_json(
            {
                "standing": found.events,
                "told": found.telling.told,
                "over": found.telling.over,
                "failed": found.telling.failed,
            }
        )
    else:
        news = set(found.telling.told)
        rows = [(e.kind, e.text, e.mend, "yes" if e.key in news else "") for e in found.events]
        if rows:
            console.table("What waits", ["kind", "what", "what to do", "told now"], rows)
        else:
            console.say("Nothing waits for a person.")
        if not addresses:
            console.say("Nobody was told: CBI_ALERT_URLS is not set.")
    found.telling.require_sent()
