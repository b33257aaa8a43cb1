"""What the clients raise, as one line a user can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from google.api_core import exceptions
from google.auth import exceptions as auth_exceptions
from requests import exceptions as request_exceptions

from cbi_assets.errors import CbiError, ServiceError, UsageError

_BYTES_LIMIT = re.compile(r"bytes ?billed", re.I)


@contextmanager
def telling() -> Iterator[None]:
    """Turn what the clients raise into one line a user can act on."""
    try:
        yield
    except CbiError:
        raise
    except auth_exceptions.GoogleAuthError as error:
        raise UsageError(
            f"Google credentials: {_line(error)}. Run `gcloud auth application-default login` "
            "again, or look at CBI_BQ_CREDENTIALS."
        ) from error
    except exceptions.RetryError as error:
        raise ServiceError(
            f"BigQuery gave no sound answer ({_line(error.cause or error)}). Nothing is half "
            "done; run this again."
        ) from error
    except exceptions.Forbidden as error:
        raise UsageError(
            f"BigQuery refused: {_line(error)}. `cbi config --check` says which role is missing."
        ) from error
    except exceptions.NotFound as error:
        raise UsageError(
            f"BigQuery: {_line(error)}. Look at CBI_BQ_PROJECT and CBI_BQ_LOCATION; "
            "`cbi config --check` tells which is wrong."
        ) from error
    except exceptions.GoogleAPICallError as error:
        if _BYTES_LIMIT.search(str(error)):
            raise UsageError(
                f"BigQuery: {_line(error)}. Raise CBI_BQ_MAX_BYTES_BILLED, or do fewer roots at "
                "a time."
            ) from error
        raise ServiceError(f"BigQuery: {_line(error)}. Run this again.") from error
    except (
        exceptions.GoogleAPIError,
        request_exceptions.RequestException,
        TimeoutError,  # what waiting for a job makes of the others
    ) as error:
        raise ServiceError(
            f"BigQuery could not be reached: {_line(error)}. Run this again when it can."
        ) from error


def _line(error: object) -> str:
    return " ".join(str(error).split("\n\n")[0].split()).rstrip(".")
