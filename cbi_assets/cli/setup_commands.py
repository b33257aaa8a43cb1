"""cbi config, demo, doctor, ui, version: the project itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cbi_assets import __version__
from cbi_assets.cli.app import Json, app, now_utc
from cbi_assets.config.settings import load_settings


@app.command()
def config(
    check: Annotated[
        bool, typer.Option("--check", help="Say what of home, drive and BigQuery is missing.")
    ] = False,
    json: Json = False,
) -> None:
    """Print every setting; secrets are masked. Example: cbi config --check"""
    from cbi_assets.cli.console import print_json, say, table

    settings = load_settings()
    if check:
        from cbi_assets.warehouse.access_checks import check_access

        findings = []
        for finding in check_access(settings):
            findings.append(finding)
            if not json:
                say(f"{finding.verdict:<8} {finding.name:<24} {finding.text}")
        if json:
            keys = ("name", "verdict", "text", "unanswered")
            print_json([{key: getattr(finding, key) for key in keys} for finding in findings])
        missing = [finding for finding in findings if finding.verdict == "missing"]
        if missing:
            raise typer.Exit(3 if all(finding.unanswered for finding in missing) else 2)
        return
    shown = settings.shown()
    if json:
        print_json(shown)
        return
    table("Settings", ["name", "value"], [(k, "–" if v is None else v) for k, v in shown.items()])


@app.command()
def demo(
    home: Annotated[Path, typer.Option(help="Where the demo keeps its drive and home.")] = Path(
        ".cbi-demo"
    ),
    json: Json = False,
) -> None:
    """Make a small drive and run everything on it. Example: cbi demo"""
    from cbi_assets.demo import run_demo

    if run_demo(home, json=json):
        raise typer.Exit(1)


@app.command()
def doctor(json: Json = False) -> None:
    """Look at everything a run rests on, and say how to mend it. Example: cbi doctor"""
    from cbi_assets.cli.console import print_json, say, table
    from cbi_assets.doctor import diagnose

    found = list(diagnose(now_utc()))
    ill = [diagnosis for diagnosis in found if diagnosis.status]
    if json:
        print_json(found)
    else:
        rows = [(d.name, d.verdict, d.found, d.mend) for d in found]
        table("Doctor", ["what", "verdict", "found", "how to mend it"], rows)
        say(f"{len(ill)} to mend." if ill else "All well.")
    if ill:
        # what is set wrong comes first: mended, it may be what did not answer
        raise typer.Exit(min(diagnosis.status for diagnosis in ill))


@app.command()
def ui(
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port on 127.0.0.1 (default: the first from 3000)."),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="A page that launches and switches nothing.")
    ] = False,
) -> None:
    """Start Dagster's web server and daemon on loopback. Example: cbi ui --port 3001"""
    from cbi_assets.cli.console import say
    from cbi_assets.pipeline.serving import serve

    serve(load_settings(), port, read_only=read_only, tell=say)


@app.command()
def version() -> None:
    """Print the version. Example: cbi version"""
    typer.echo(__version__)
