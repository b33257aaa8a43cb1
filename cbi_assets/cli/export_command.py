"""cbi export: flat files of the matrix, the training tables or any table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cbi_assets.cli.app import Json, Symbols, Wait, app, command_session
from cbi_assets.errors import UsageError


@app.command()
def export(
    what: Annotated[
        str | None, typer.Argument(metavar="WHAT", help="matrix, training, or a table.")
    ] = None,
    symbol: Symbols = None,
    file_format: Annotated[str, typer.Option("--format", help="parquet or csv.")] = "parquet",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write into (default: CBI_HOME/export/WHAT).")
    ] = None,
    verify: Annotated[
        Path | None, typer.Option(help="Folder of an export: say whether it is still current.")
    ] = None,
    json: Json = False,
    wait: Wait = 600.0,
) -> None:
    """Write flat files with a manifest. Example: cbi export training --symbol ZL --format csv"""
    from cbi_assets.cli.console import print_json, say, say_verdict, table
    from cbi_assets.cli.progress import working
    from cbi_assets.export import export_tables, verify_export
    from cbi_assets.formatting import plural, size

    if (what is None) == (verify is None):
        raise UsageError(
            "name what to export, or --verify FOLDER",
            subject="cbi export",
            remedy="Example: cbi export matrix",
        )
    with working() as progress, command_session(wait, progress=progress) as session:
        if verify is not None:
            verdict = verify_export(session, verify)
        else:
            assert what is not None
            folder = out or session.home.root / "export" / what
            manifest = export_tables(session, what, tuple(symbol or ()), file_format, folder)
    if verify is not None:
        if json:
            print_json(verdict)
        else:
            for path in verdict.damaged:
                say(f"{verify / path}: its bytes are not those of the manifest. Export again.")
            for path in verdict.moved:
                say(f"{verify / path}: the warehouse has other rows now. Export again.")
            say_verdict(verdict.is_current, f"{plural(verdict.files, 'file')} compared")
        if not verdict.is_current:
            raise typer.Exit(1)
        return
    if json:
        print_json(manifest)
        return
    files = [file for entry in manifest["tables"] for file in entry["files"]]
    rows = [(f["path"], f["rows"], size(f["bytes"]), f["data_through"]) for f in files]
    table(f"Exported to {folder}", ["file", "rows", "size", "data through"], rows)
    total = sum(file["rows"] for file in files)
    say_verdict(True, f"{plural(total, 'row')} in {plural(len(files), 'file')}")
