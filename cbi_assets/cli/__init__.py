"""The command line: the same verbs as in Dagster's UI, for a terminal."""

import gc

from cbi_assets.cli import (
    accept_command,
    alert_command,
    approve_commands,
    audit_command,
    download_command,
    drive_commands,
    export_command,
    plan_commands,
    resolve_command,
    schedule_command,
    setup_commands,
    table_commands,
)
from cbi_assets.cli.app import app, exit_on_error

# imported because that registers their commands
assert all(
    (
        accept_command,
        alert_command,
        approve_commands,
        audit_command,
        download_command,
        drive_commands,
        export_command,
        table_commands,
        setup_commands,
        plan_commands,
        resolve_command,
        schedule_command,
    )
)


@exit_on_error
def main() -> int | None:
    """Run the `cbi` command."""
    # What importing Dagster leaves lives as long as the command. Looking through it for garbage
    # takes 0.1 s of CPU time or more.
    gc.set_threshold(200_000, 10, 100)
    # In standalone mode Typer prints errors itself, in a box of several lines.
    status: int | None = app(prog_name="cbi", standalone_mode=False)
    return status
