"""The Typer app and what its commands share: options, the clock, a session, errors on one line."""

from __future__ import annotations

import datetime as dt
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cbi_assets import __version__
from cbi_assets.cli import completion
from cbi_assets.cli.stopping import Stopped, describe, end, stop_on_signals
from cbi_assets.cli.terminal_log import log_to_terminal
from cbi_assets.errors import CbiError, UsageError
from cbi_assets.formatting import printable

if TYPE_CHECKING:
    from cbi_assets.drive.survey import Progress
    from cbi_assets.session import Project, Session

app = typer.Typer(
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Load, audit and build CME futures bars from Databento files.",
)


def _parse_date(text: str) -> dt.date:
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise ValueError(f"{text!r} is not a date like 2025-01-31") from None


def date_option(*names: str, help: str) -> Any:
    """Return an option that takes a date, YYYY-MM-DD."""
    return typer.Option(*names, help=help, parser=_parse_date, metavar="YYYY-MM-DD")


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
All = Annotated[bool, typer.Option("--all", help="Also list what is as it should be, in tables.")]
Symbols = Annotated[
    list[str] | None,
    typer.Option(
        "--symbol",
        help="Root symbol; repeatable.",
        parser=str.upper,
        metavar="ROOT",
        autocompletion=completion.roots,
    ),
]
Timeframes = Annotated[
    list[str] | None,
    typer.Option(
        "--timeframe",
        help="1d, 1h or 1m; repeatable.",
        parser=str.lower,
        metavar="TIMEFRAME",
        autocompletion=completion.timeframes,
    ),
]
PlanName = Annotated[
    str | None,
    typer.Argument(
        metavar="PLAN",
        help="Plan hash, its first characters, or the plan's file.",
        autocompletion=completion.plans,
    ),
]
Wait = Annotated[
    float, typer.Option(min=0, help="Seconds to wait for another process in this home.")
]

_DEBUG = False


def now_utc() -> dt.datetime:
    """Return the current time, UTC."""
    return dt.datetime.now(dt.UTC)


@contextmanager
def command_session(
    wait: float, *, project: Project | None = None, progress: Progress | None = None
) -> Iterator[Session]:
    """Open a command's session, on the project that the settings describe unless one is given."""
    from cbi_assets.session import Project, open_session  # slow to import, unused by `--help`

    with open_session(project or Project(), now=now_utc(), wait=wait, progress=progress) as session:
        yield session


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def warn(text: str) -> None:
    """Print a warning about how a command was used; it runs all the same."""
    from cbi_assets.cli.console import say

    say(f"warning: {text}")


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    debug: Annotated[bool, typer.Option(help="Show a stack trace with an error.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    global _DEBUG
    _DEBUG = debug
    log_to_terminal()
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def exit_on_error(run: Callable[[], int | None]) -> Callable[[], None]:
    """Exit with the status that `run` returns, or print an error on one line and exit with its."""

    @wraps(run)
    def exiting() -> None:
        try:
            with stop_on_signals():
                if (status := run()) == 128 + signal.SIGINT:
                    raise KeyboardInterrupt  # which Typer turned into a status
                sys.exit(status)
        except Stopped as stopped:
            end(stopped.number)
        except CbiError as error:
            _exit(str(error), error.exit_code)
        except typer.TyperException as error:
            _exit(_usage(error), error.exit_code)
        except typer.Abort:
            sys.stderr.write("\n")  # after the question
            _exit("no answer, no changes were made. Use --yes to skip the question.", 1)
        except KeyboardInterrupt:  # of a library with a handler of its own
            _exit(describe(signal.SIGINT), 128 + signal.SIGINT)
        except OSError as error:
            if (translated := _failed_call(error)) is None:
                raise
            _exit(str(translated), translated.exit_code)

    return exiting


def _failed_call(error: OSError) -> CbiError | None:
    """Return what a failed system call outside a session means, if it names a file or the disk."""
    from cbi_assets.config.home_errors import home_error
    from cbi_assets.config.settings import load_settings

    if translated := home_error(error, load_settings().home):
        return translated
    if error.filename is None or error.strerror is None:
        return None
    return UsageError(f"failed ({error.strerror})", subject=str(error.filename))


def _exit(text: str, status: int) -> None:
    if _DEBUG:
        traceback.print_exc()
    sys.stderr.write(f"cbi: {printable(' '.join(text.splitlines()))}\n")
    sys.exit(status)


def _usage(error: typer.TyperException) -> str:
    """Describe a wrong argument and name the help that lists the right ones."""
    text = error.format_message().replace("Value error, ", "").rstrip(".")
    context = getattr(error, "ctx", None)
    if context is None:
        return f"{text}."
    end = "" if text.endswith("?") else "."
    return f"{text}{end} See `{context.command_path} --help`."
