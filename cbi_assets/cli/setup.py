"""cbi config, demo, ui, version: the project itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from cbi_assets import __version__
from cbi_assets.cli.app import Json, app
from cbi_assets.settings import load_settings


@app.command()
def config(
    check: Annotated[
        bool, typer.Option("--check", help="Say what of home, drive and BigQuery is missing.")
    ] = False,
    json: Json = False,
) -> None:
    """Print every setting; secrets are masked. Example: cbi config --check"""
    from cbi_assets.console import print_json, say, table

    settings = load_settings()
    if check:
        from cbi_assets.warehouse.access import check_access

        findings = []
        for finding in check_access(settings):
            findings.append(finding)
            if not json:
                say(f"{finding.verdict:<8} {finding.name:<24} {finding.text}")
        if json:
            print_json(findings)
        if any(finding.verdict == "missing" for finding in findings):
            raise typer.Exit(2)
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
def ui(port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 3000) -> None:
    """Start Dagster's web server and daemon on loopback. Example: cbi ui --port 3001"""
    from cbi_assets.console import say
    from cbi_assets.pipeline.instance import prepare_instance, project_file

    settings = load_settings()
    dagster_home = prepare_instance(settings.home)
    environment = os.environ | settings.environment() | {"DAGSTER_HOME": str(dagster_home)}
    say(f"Dagster at http://127.0.0.1:{port} for {settings.home.root} (Ctrl-C stops it)")
    workspace = project_file("workspace.yaml")
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace)]
    finished = subprocess.run(
        [*command, "-h", "127.0.0.1", "-p", str(port)],
        env=environment,
        cwd=settings.home.root,
        check=False,
    )
    raise typer.Exit(finished.returncode)


@app.command()
def version() -> None:
    """Print the version. Example: cbi version"""
    typer.echo(__version__)
