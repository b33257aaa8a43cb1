"""cbi resolve: ask Databento which contracts anonymous continuous bars are of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from cbi_assets.cli.app import Json, Symbols, Wait, app, command_session

if TYPE_CHECKING:
    from cbi_assets.load.resolve import Resolved


@app.command()
def resolve(symbol: Symbols = None, json: Json = False, wait: Wait = 600.0) -> None:
    """Ask Databento which contracts bars are of, for free. Example: cbi resolve --symbol ZL"""
    from cbi_assets import verbs
    from cbi_assets.cli import console
    from cbi_assets.cli.progress import working
    from cbi_assets.cli.show_checks import check_document, count_results, show_findings
    from cbi_assets.databento_api.client import connect_from_settings
    from cbi_assets.formatting import plural
    from cbi_assets.session import Project

    project = Project()
    roots = project.universe.select(tuple(symbol or ()))
    clients = connect_from_settings(project.settings)
    with (
        working() as progress,
        command_session(wait, project=project, progress=progress) as session,
    ):
        resolved, outcome = verbs.resolve(session, clients, roots)
        if outcome.profiles or outcome.checks:
            from cbi_assets.pipeline.terminal import record_load  # slow to import
            from cbi_assets.report.read_lights import read_lights

            record_load(session, outcome, read_lights(session, outcome.survey))
    named = sum(outcome.renamed.values())
    failed, warned = count_results(outcome.checks)
    if json:
        checks = [check_document(result) for result in outcome.checks]
        console.print_json(_document(resolved) | {"named_bars": named, "checks": checks})
    else:
        show_findings(outcome.checks)
        console.say(_summary(resolved))
        console.say_verdict(not failed, f"{plural(named, 'bar')} named", warned)
        if named:
            console.say("Next: cbi build")
    if failed:
        raise typer.Exit(1)


def _summary(resolved: Resolved) -> str:
    from cbi_assets.formatting import number, plural

    if not resolved.anonymous:
        return "Every continuous bar has a contract: nothing to ask."
    asked = (
        f"{plural(resolved.instruments, 'instrument')} asked about in "
        f"{plural(len(resolved.answers), 'request')} (free of charge), "
        f"{number(resolved.unknown)} unknown to Databento"
    )
    before = f"; {number(resolved.asked_before)} asked before" if resolved.asked_before else ""
    return f"{plural(resolved.anonymous, 'anonymous instrument')}: {asked}{before}."


def _document(resolved: Resolved) -> dict[str, Any]:
    return {
        "anonymous": resolved.anonymous,
        "asked": resolved.instruments,
        "asked_before": resolved.asked_before,
        "unknown": resolved.unknown,
        "cost_usd": 0.0,
        "requests": [{"request_id": a.request_id, **a.request} for a in resolved.answers],
    }
