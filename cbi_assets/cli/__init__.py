"""The command line: the same verbs as in Dagster's UI, for a terminal."""

from cbi_assets.cli import (
    alert_command,
    audit_command,
    download_command,
    drive_commands,
    plan_commands,
    setup_commands,
    table_commands,
)
from cbi_assets.cli.app import app, told

# imported for their commands
assert all(
    (
        alert_command,
        audit_command,
        download_command,
        drive_commands,
        table_commands,
        setup_commands,
        plan_commands,
    )
)


@told
def main() -> int | None:
    """The `cbi` command."""
    # not standalone: errors are told here, in one line, and not in a box
    status: int | None = app(prog_name="cbi", standalone_mode=False)
    return status
