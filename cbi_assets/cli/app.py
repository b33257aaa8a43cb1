"""What the commands share: the app, its options, a check as JSON, errors in one line."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from cbi_assets.errors import CbiError

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Load, audit and build CME futures bars from Databento files.",
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Symbols = Annotated[list[str] | None, typer.Option("--symbol", help="A root; repeat for more.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait for another process in this home.")]

_DEBUG = False


def now_utc() -> dt.datetime:
    """The present instant."""
    return dt.datetime.now(dt.UTC)


@app.callback()
def _main(
    debug: Annotated[bool, typer.Option(help="Show a stack trace with an error.")] = False,
) -> None:
    global _DEBUG
    _DEBUG = debug


def check_document(result: Any) -> dict[str, Any]:
    """A check's result, for --json."""
    return {
        "table": result.table_id,
        "check": result.check.name,
        "severity": result.check.severity,
        "partition": result.partition,
        "passed": result.passed,
        "expected": result.expected,
        "actual": result.actual,
        "sample": result.sample,
        "sql": result.sql,
    }


def told(run: Callable[[], None]) -> Callable[[], None]:
    """Tell a CbiError in one line on stderr and exit with its status."""

    @wraps(run)
    def told() -> None:
        try:
            run()
        except CbiError as error:
            if _DEBUG:
                raise
            sys.stderr.write(f"cbi: {error}\n")
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            sys.exit(130)

    return told
