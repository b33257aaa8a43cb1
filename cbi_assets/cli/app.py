"""What the commands share: the app, its options, a check as JSON, errors in one line."""

from __future__ import annotations

import datetime as dt
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from cbi_assets.cli import completion
from cbi_assets.cli.terminal_log import log_to_terminal
from cbi_assets.errors import CbiError

app = typer.Typer(
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Load, audit and build CME futures bars from Databento files.",
)


def _parse_day(text: str) -> dt.date:
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise ValueError(f"{text!r} is no day; write it like 2025-01-31") from None


def day_option(*names: str, help: str) -> Any:
    """An option that takes a day."""
    return typer.Option(*names, help=help, parser=_parse_day, metavar="YYYY-MM-DD")


Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Symbols = Annotated[
    list[str] | None,
    typer.Option("--symbol", help="A root; repeat for more.", autocompletion=completion.roots),
]
Timeframes = Annotated[
    list[str] | None,
    typer.Option("--timeframe", help="1d, 1h or 1m; repeat.", autocompletion=completion.timeframes),
]
PlanName = Annotated[
    str,
    typer.Argument(
        metavar="PLAN",
        help="A plan's hash, its start, or its file.",
        autocompletion=completion.plans,
    ),
]
Wait = Annotated[
    float, typer.Option(min=0, help="Seconds to wait for another process in this home.")
]

_DEBUG = False


def now_utc() -> dt.datetime:
    """The present instant."""
    return dt.datetime.now(dt.UTC)


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    debug: Annotated[bool, typer.Option(help="Show a stack trace with an error.")] = False,
) -> None:
    global _DEBUG
    _DEBUG = debug
    log_to_terminal()
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


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


def told(run: Callable[[], int | None]) -> Callable[[], None]:
    """Exit with the status that `run` gives; tell an error in one line on stderr."""

    @wraps(run)
    def told() -> None:
        try:
            sys.exit(run())
        except CbiError as error:
            _end(str(error), error.exit_code)
        except typer.TyperException as error:
            _end(_usage(error), error.exit_code)
        except typer.Abort:
            sys.stderr.write("\n")  # after the question
            _end("no answer, so nothing was done; --yes goes on without asking.", 1)
        except KeyboardInterrupt:
            sys.exit(130)

    return told


def _end(text: str, status: int) -> None:
    if _DEBUG:
        traceback.print_exc()
    sys.stderr.write(f"cbi: {' '.join(text.splitlines())}\n")
    sys.exit(status)


def _usage(error: typer.TyperException) -> str:
    """What is wrong with the words that were typed, and where the right ones are listed."""
    text = error.format_message().replace("Value error, ", "").rstrip(".")
    context = getattr(error, "ctx", None)
    if context is None:
        return f"{text}."
    end = "" if text.endswith("?") else "."
    return f"{text}{end} See `{context.command_path} --help`."
