"""cbi config, demo, doctor, ui, version: the project itself."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cbi_assets import __version__
from cbi_assets.cli.app import Json, app, now_utc
from cbi_assets.config.settings import load_settings

if TYPE_CHECKING:
    from cbi_assets.demo.run import DemoOutcome
    from cbi_assets.warehouse.findings import Finding


@app.command()
def config(
    check: Annotated[
        bool, typer.Option("--check", help="Check access to home, drive and BigQuery.")
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
        _exit_for(findings)
        return
    shown = settings.shown()
    if json:
        print_json(shown)
        return
    table("Settings", ["name", "value"], [(k, "–" if v is None else v) for k, v in shown.items()])


@app.command()
def demo(
    home: Annotated[Path, typer.Option(help="Folder for the demo's drive and home.")] = Path(
        ".cbi-demo"
    ),
    json: Json = False,
) -> None:
    """Generate a small synthetic drive and run every step on it. Example: cbi demo"""
    from cbi_assets.cli.console import print_json
    from cbi_assets.cli.progress import working
    from cbi_assets.demo.run import run_demo

    with working() as progress:
        outcome = run_demo(home, progress)
    if json:
        print_json(
            {
                "published": outcome.loaded.published,
                "rows": outcome.built.rows,
                "books": outcome.by_file.to_dicts(),
            }
        )
    _show_demo(outcome)
    if outcome.has_failures:
        raise typer.Exit(1)


def _show_demo(outcome: DemoOutcome) -> None:
    from cbi_assets.cli.console import say
    from cbi_assets.cli.show_build import show_build
    from cbi_assets.cli.show_checks import show_findings
    from cbi_assets.cli.show_load import describe_books

    show_findings(outcome.loaded.checks)
    say(describe_books(outcome.by_file))
    show_build(outcome.built, outcome.trained, outcome.lights, {})
    say(f"The audit: {outcome.audit}")
    say("To see it in Dagster's UI:")
    paths = {"CBI_HOME": outcome.home, "CBI_DRIVE": outcome.drive}
    settings = " ".join(f"{name}={shlex.quote(str(path))}" for name, path in paths.items())
    say(f"  {settings} {shlex.quote(sys.argv[0])} ui")


@app.command()
def doctor(
    fix: Annotated[
        bool, typer.Option("--fix", help="End Dagster's runs whose process is gone.")
    ] = False,
    json: Json = False,
) -> None:
    """Check settings, drive, disk, services and warehouse, with a fix per problem.
    Example: cbi doctor"""
    from cbi_assets.cli.console import print_json, say, table
    from cbi_assets.doctor import diagnose
    from cbi_assets.formatting import plural

    findings = list(diagnose(now_utc(), fix=fix))
    if json:
        print_json(
            [
                {
                    "name": finding.name,
                    "verdict": finding.verdict,
                    "found": finding.found,
                    "mend": finding.remedy,
                    "status": finding.status,
                }
                for finding in findings
            ]
        )
    else:
        rows = [(f.name, f.verdict, f.found, f.remedy) for f in findings]
        table("Doctor", ["what", "verdict", "found", "fix"], rows)
        problems = sum(finding.verdict == "missing" for finding in findings)
        say(f"{plural(problems, 'problem')} found." if problems else "All checks passed.")
    _exit_for(findings)


def _exit_for(findings: Sequence[Finding]) -> None:
    """Exit with the lowest status: fixing a setting may be what makes a service respond."""
    if statuses := [finding.status for finding in findings if finding.status]:
        raise typer.Exit(min(statuses))


@app.command()
def ui(
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Port on 127.0.0.1 (default: first free one from 3000)."
        ),
    ] = None,
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Serve a page that changes nothing."),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Also answer under this host name, of a proxy for example."
        ),
    ] = None,
) -> None:
    """Start Dagster's web server and daemon on loopback. Example: cbi ui --port 3001"""
    from cbi_assets.pipeline.serving import serve

    serve(load_settings(), port, read_only=read_only, hosts=allow_host or ())


@app.command()
def version(json: Json = False) -> None:
    """Print the version. Example: cbi version --json"""
    if not json:
        typer.echo(__version__)
        return
    from importlib.metadata import version as version_of

    from cbi_assets.cli.console import print_json

    libraries = ("polars", "duckdb", "dagster", "databento", "google-cloud-bigquery")
    print_json(
        {
            "version": __version__,
            "python": platform.python_version(),
            "libraries": {name: version_of(name) for name in libraries},
        }
    )
