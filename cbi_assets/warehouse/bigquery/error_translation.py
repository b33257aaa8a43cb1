"""Translate exceptions of Google's clients into the project's errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

from google.api_core import exceptions
from google.auth import exceptions as auth_exceptions
from requests import exceptions as request_exceptions

from cbi_assets.errors import CbiError, ServiceError, UsageError

CLIENT_ERRORS = (
    exceptions.GoogleAPIError,
    auth_exceptions.GoogleAuthError,
    request_exceptions.RequestException,
)
"""Everything that the clients raise when a request fails."""

QUOTA_REASONS = {"quotaExceeded", "rateLimitExceeded", "RATE_LIMIT_EXCEEDED"}
"""With one of these, a 403 is not a missing role."""


@contextmanager
def translate_errors() -> Iterator[None]:
    """Re-raise the clients' exceptions as UsageError or ServiceError, each on one line."""
    try:
        yield
    except CbiError:
        raise
    except (*CLIENT_ERRORS, TimeoutError) as error:  # waiting for a job raises TimeoutError
        raise _translate(error) from error


def translates_errors[**Args, Result](method: Callable[Args, Result]) -> Callable[Args, Result]:
    """Decorate a method so that it runs inside `translate_errors`."""

    @wraps(method)
    def translated(*args: Args.args, **options: Args.kwargs) -> Result:
        with translate_errors():
            return method(*args, **options)

    return translated


def reasons(error: exceptions.GoogleAPICallError) -> set[str | None]:
    """Return the reason codes of an error response; gRPC errors have at most one."""
    details = [detail for detail in error.errors if isinstance(detail, dict)]
    return {error.reason, *(detail.get("reason") for detail in details)}


def last_failure(error: Exception) -> Exception:
    """Return what the last attempt failed with, if retries were exhausted; else the error."""
    while isinstance(error, exceptions.RetryError) and isinstance(error.cause, Exception):
        error = error.cause
    return error


def one_line(error: object) -> str:
    """Return the first paragraph of an exception's message on one line, without its period."""
    message = getattr(error, "message", None) or error
    return " ".join(str(message).split("\n\n")[0].split()).rstrip(".")


def _translate(error: Exception) -> CbiError:
    match error:
        case auth_exceptions.TransportError():
            pass
        case auth_exceptions.GoogleAuthError():
            return UsageError(
                one_line(error),
                subject="Google credentials",
                remedy="Run `gcloud auth application-default login` again, or check "
                "CBI_BQ_CREDENTIALS.",
            )
        case exceptions.RetryError():
            problem = f"did not respond ({one_line(last_failure(error))})"
            remedy = "Publications are atomic: nothing is half done. Retry."
            return ServiceError(problem, subject="BigQuery", remedy=remedy)
        case exceptions.Forbidden() if reasons(error) & QUOTA_REASONS:
            return ServiceError(
                f"a quota is exhausted ({one_line(error)})",
                subject="BigQuery",
                remedy="Publications are atomic: nothing is half done. Uploads are kept for a day. "
                "Retry when the quota is refilled, or raise it.",
            )
        case exceptions.Forbidden():
            return UsageError(
                f"access denied ({one_line(error)})",
                subject="BigQuery",
                remedy="`cbi config --check` names the missing role.",
            )
        case exceptions.NotFound():
            return UsageError(
                one_line(error),
                subject="BigQuery",
                remedy="Check CBI_BQ_PROJECT and CBI_BQ_LOCATION with `cbi config --check`.",
            )
        case exceptions.GoogleAPICallError() if "bytesBilledLimitExceeded" in reasons(error):
            return UsageError(
                one_line(error),
                subject="BigQuery",
                remedy="Raise CBI_BQ_MAX_BYTES_BILLED: selecting fewer roots hardly reads less.",
            )
        case exceptions.GoogleAPICallError():
            return ServiceError(one_line(error), subject="BigQuery", remedy="Retry.")
    problem = f"could not be reached ({one_line(error)})"
    return ServiceError(problem, subject="BigQuery", remedy="Retry when it can be.")
