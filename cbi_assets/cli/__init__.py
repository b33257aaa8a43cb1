"""The command line: the same verbs as in Dagster's UI, for a terminal."""

from cbi_assets.cli import alert, audit, download, drive, plan, setup, tables
from cbi_assets.cli.app import app, told

# imported for their commands
assert all((alert, audit, download, drive, tables, setup, plan))


@told
def main() -> int | None:
    """The `cbi` command."""
    # not standalone: errors are told here, in one line, and not in a box
    status: int | None = app(prog_name="cbi", standalone_mode=False)
    return status
