from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.auth import exceptions as auth_exceptions
from requests import exceptions as request_exceptions

from cbi_assets.errors import AuditError, CbiError, ServiceError, UsageError
from cbi_assets.warehouse.bigquery.error_translation import translate_errors

TOO_COSTLY = exceptions.InternalServerError(
    "Query exceeded limit for bytes billed: 1000. 10485760 or higher required.",
    errors=[{"reason": "bytesBilledLimitExceeded"}],
)


@pytest.mark.parametrize(
    ("error", "expected", "text"),
    [
        (
            auth_exceptions.RefreshError("invalid_grant"),
            UsageError,
            "Google credentials: invalid_grant. Run `gcloud auth application-default login` "
            "again, or check CBI_BQ_CREDENTIALS.",
        ),
        (
            auth_exceptions.TransportError("no route"),
            ServiceError,
            "BigQuery: could not be reached (no route). Retry when it can be.",
        ),
        (
            exceptions.RetryError("timed out", exceptions.ServiceUnavailable("busy")),
            ServiceError,
            "BigQuery: did not respond (busy). Publications are atomic: nothing is half done. "
            "Retry.",
        ),
        (
            exceptions.Forbidden("no jobs.create"),
            UsageError,
            "BigQuery: access denied (no jobs.create). `cbi config --check` names the missing "
            "role.",
        ),
        (
            exceptions.Forbidden(
                "Quota exceeded: Your project exceeded quota for free query bytes scanned",
                errors=[{"reason": "quotaExceeded"}],
            ),
            ServiceError,  # so that what was staged is kept
            "BigQuery: a quota is exhausted (Quota exceeded: Your project exceeded quota for free "
            "query bytes scanned). Publications are atomic: nothing is half done. Uploads are kept "
            "for a day. Retry when the quota is refilled, or raise it.",
        ),
        (
            exceptions.NotFound("no project"),
            UsageError,
            "BigQuery: no project. Check CBI_BQ_PROJECT and CBI_BQ_LOCATION with "
            "`cbi config --check`.",
        ),
        (
            TOO_COSTLY,
            UsageError,
            "BigQuery: Query exceeded limit for bytes billed: 1000. 10485760 or higher required. "
            "Raise CBI_BQ_MAX_BYTES_BILLED: selecting fewer roots hardly reads less.",
        ),
        (
            exceptions.BadRequest("first line\nand second\n\nstack"),
            ServiceError,
            "BigQuery: first line and second. Retry.",
        ),
        (
            request_exceptions.ConnectionError("reset"),
            ServiceError,
            "BigQuery: could not be reached (reset). Retry when it can be.",
        ),
        (
            TimeoutError("waited"),
            ServiceError,
            "BigQuery: could not be reached (waited). Retry when it can be.",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_translate_errors_gives_type_and_remedy(
    error: Exception, expected: type[CbiError], text: str
) -> None:
    with pytest.raises(expected) as raised, translate_errors():
        raise error
    assert str(raised.value) == text


@pytest.mark.parametrize("error", [AuditError("1 row is missing"), ValueError("a defect")])
def test_translate_errors_passes_other_errors_on(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, translate_errors():
        raise error
    assert raised.value is error
