"""cbi alert: list what needs action, and send it once."""

from __future__ import annotations

from typing import Annotated

import typer

from cbi_assets.cli.app import Json, Wait, app, now_utc
from cbi_assets.errors import UsageError


@app.command()
def alert(
    test: Annotated[
        bool, typer.Option("--test", help="Only send a test to each address of CBI_ALERT_URLS.")
    ] = False,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Send new alerts to CBI_ALERT_URLS, and list all active ones. Example: cbi alert --test"""
    from cbi_assets.alerts import collect_and_send, read_addresses, send_test
    from cbi_assets.cli import console
    from cbi_assets.session import Project

    project = Project()
    addresses = read_addresses(project.settings)
    if test:
        if not addresses:
            raise UsageError(
                "not set",
                subject="CBI_ALERT_URLS",
                remedy="Set an address in the environment or in .env, e.g. "
                "mailtos://USER:PASSWORD@example.com",
            )
        tested = send_test(project.home, addresses)
        if json:
            console.print_json({"told": tested.sent, "failed": tested.failed})
        else:
            for name in tested.sent:
                console.say(f"{name} accepted the test.")
        tested.require_sent()
        return
    alerts = collect_and_send(project, addresses, now_utc(), wait)
    delivery = alerts.delivery
    if json:
        console.print_json(
            {
                "standing": alerts.events,
                "told": delivery.sent,
                "over": delivery.resolved,
                "failed": delivery.failed,
            }
        )
    else:
        rows = [
            (e.kind, e.text, e.remedy, "yes" if e.key in delivery.sent else "")
            for e in alerts.events
        ]
        if rows:
            console.table("Alerts", ["kind", "what", "what to do", "sent now"], rows)
        else:
            console.say("No alerts: nothing needs action.")
        if not addresses:
            console.say("Nothing was sent: CBI_ALERT_URLS is not set.")
    delivery.require_sent()
