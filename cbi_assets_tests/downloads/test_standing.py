"""A standing approval counts only as this home's key sealed it; deleted rows are noticed."""

from __future__ import annotations

import datetime as dt
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cbi_assets.downloads.plan_model import Plan
from cbi_assets.downloads.seal import StandingError
from cbi_assets.downloads.standing import (
    Standing,
    count_use,
    find_standing,
    grant,
    list_standing,
    revoke,
    spent_in_month,
)
from cbi_assets.errors import UsageError
from cbi_assets.session import Project, Session, open_session
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.downloads.test_plan_model import OTHER, REQUEST, plan

NOW = dt.datetime(2025, 4, 1, 12, tzinfo=dt.UTC)
PLAN = plan(REQUEST, OTHER)
"""ZL and ZS, ohlcv-1h, quoted at 0.05 USD."""

TABLE = "ops.standing_approvals"


@pytest.fixture
def session(project: Project) -> Iterator[Session]:
    with open_session(project, now=NOW) as opened:
        yield opened


def grant_as_ada(session: Session, **change: Any) -> Standing:
    options: dict[str, Any] = {
        "roots": ["ZL", "ZS"],
        "schemas": ["ohlcv-1h"],
        "max_usd_per_run": 0.06,
        "max_usd_per_month": 0.12,
        "until": dt.date(2025, 5, 31),
        "by": "Ada",
    }
    return grant(session, **options | change)


def refusal(session: Session, code: str, chosen: Plan = PLAN) -> str:
    """The one line that refuses a purchase, which has this code and counts nothing."""
    before = session.warehouse.query(f"SELECT COUNT(*) FROM `{TABLE}`").item()
    with pytest.raises(StandingError) as error:
        count_use(session, find_standing(session), chosen)
    assert error.value.code == code
    assert session.warehouse.query(f"SELECT COUNT(*) FROM `{TABLE}`").item() == before
    line = str(error.value)
    assert "\n" not in line
    return line


def change(session: Session, *statements: str) -> None:
    session.warehouse.transact([Statement(sql) for sql in statements])


def restore(session: Session, copy: str) -> None:
    insert = f"INSERT INTO `{TABLE}` SELECT * FROM `{copy}`"
    change(session, f"DELETE FROM `{TABLE}` WHERE TRUE", insert)


def test_grant_is_found_until_it_is_revoked(session: Session) -> None:
    assert refusal(session, "none")
    given = grant_as_ada(session)
    assert find_standing(session) == given
    assert (given.roots, given.schemas, given.state) == (("ZL", "ZS"), ("ohlcv-1h",), "valid")
    assert stat.S_IMODE(session.home.standing_key.stat().st_mode) == 0o600
    count_use(session, given, PLAN)
    assert revoke(session, given.approval_id, by="Bea").state == "revoked"
    revoke(session, given.approval_id, by="Bea")
    assert "was revoked" in refusal(session, "revoked")
    events = session.warehouse.query(f"SELECT event, recorded_by FROM `{TABLE}` ORDER BY entry")
    assert events.rows() == [("granted", "Ada"), ("used", "top-up"), ("revoked", "Bea")]
    grant_as_ada(session, roots=["ZL"])
    assert find_standing(session).roots == ("ZL",)


def test_grant_ends_with_its_last_day_in_utc(session: Session) -> None:
    grant_as_ada(session)
    end = dt.datetime(2025, 6, 1, tzinfo=dt.UTC)
    session.now = end - dt.timedelta(microseconds=1)
    assert find_standing(session)
    session.now = end
    assert "expired after 2025-05-31 (UTC)" in refusal(session, "expired")


def test_run_and_month_are_counted_before_the_purchase(session: Session) -> None:
    given = grant_as_ada(session)
    dearer = plan(replace(REQUEST, cost_usd=0.07))
    assert "costs 0.07 USD, above the 0.06 USD per run" in refusal(session, "run", dearer)
    count_use(session, given, PLAN)
    count_use(session, given, PLAN)
    assert spent_in_month(session) == pytest.approx(0.10)
    # 0.10 + 0.05 > 0.12
    assert "with 0.10 USD spent this month" in refusal(session, "month")
    # another approval does not start the month anew
    grant_as_ada(session)
    refusal(session, "month")
    session.now = dt.datetime(2025, 4, 30, 23, 59, 59, tzinfo=dt.UTC)
    refusal(session, "month")
    session.now = dt.datetime(2025, 5, 1, tzinfo=dt.UTC)
    assert spent_in_month(session) == 0
    count_use(session, find_standing(session), PLAN)


def test_other_roots_schemas_and_estimates_are_refused(session: Session) -> None:
    grant_as_ada(session)
    others: list[dict[str, Any]] = [
        {"root": "ZM"}, {"schema": "ohlcv-1m"}, {"basis": "estimated"}, {"cost_usd": None},
    ]  # fmt: skip
    for other in others:
        refusal(session, "scope", plan(replace(REQUEST, **other)))


EDITS = {
    "entry": "7",
    "approval_id": "'0'",
    "event": "'granted'",
    "roots": "['ES']",
    "schemas": "['ohlcv-1m']",
    "max_usd_per_run": "99.0",
    "max_usd_per_month": "99.0",
    "valid_until": "DATE '2099-01-01'",
    "plan_hash": "'0'",
    "usd": "0.0",
    "recorded_by": "'Grace'",
    "recorded_at": "TIMESTAMP '2025-03-01 00:00:00+00'",
    "previous_seal": "'0'",
    "seal": "'0'",
}


@pytest.mark.full
def test_edited_row_refuses_everything(session: Session) -> None:
    count_use(session, grant_as_ada(session), PLAN)
    copy = session.warehouse.stage_query("copy", f"SELECT * FROM `{TABLE}`")
    for column, value in EDITS.items():
        used = column in ("plan_hash", "usd", "event")
        where = f"event = '{'used' if used else 'granted'}'"
        change(session, f"UPDATE `{TABLE}` SET {column} = {value} WHERE {where}")
        assert "does not match its seal" in refusal(session, "seal"), column
        restore(session, copy)
    count_use(session, find_standing(session), PLAN)


def test_row_written_by_hand_is_no_approval(session: Session) -> None:
    given = grant_as_ada(session)
    revoke(session, given.approval_id, by="Ada")
    columns = "roots, schemas, max_usd_per_run, max_usd_per_month, valid_until, recorded_by"
    for entry, seal in ((3, "'0'"), (3, "seal"), (1, "seal")):
        change(
            session,
            f"INSERT INTO `{TABLE}` (entry, approval_id, event, {columns}, recorded_at, key_id, "
            f"previous_seal, seal) SELECT {entry}, 'abc', event, {columns}, recorded_at, key_id, "
            f"previous_seal, {seal} FROM `{TABLE}` WHERE event = 'granted' AND entry = 1 "
            "AND approval_id <> 'abc'",
        )
        refusal(session, "seal")
        change(session, f"DELETE FROM `{TABLE}` WHERE approval_id = 'abc'")
    refusal(session, "revoked")
    # of another key: it is no approval of this home
    change(session, f"UPDATE `{TABLE}` SET key_id = '000000000000' WHERE event = 'granted'")
    refusal(session, "seal")


def test_deleted_rows_are_noticed(session: Session) -> None:
    given = grant_as_ada(session)
    count_use(session, given, PLAN)
    count_use(session, given, PLAN)
    copy = session.warehouse.stage_query("copy", f"SELECT * FROM `{TABLE}`")
    for where in ("entry = 1", "entry = 2", "entry = 3", "entry > 1", "TRUE"):
        change(session, f"DELETE FROM `{TABLE}` WHERE {where}")
        with pytest.raises(StandingError) as error:
            find_standing(session)
        assert error.value.code == ("seal" if where in ("entry = 1", "entry = 2") else "deleted")
        with pytest.raises(StandingError):
            grant_as_ada(session)
        restore(session, copy)


def test_deleted_revocation_is_noticed(session: Session) -> None:
    given = grant_as_ada(session)
    revoke(session, given.approval_id, by="Ada")
    change(session, f"DELETE FROM `{TABLE}` WHERE event = 'revoked'")
    assert "it has 1 of the 2 rows" in refusal(session, "deleted")


def _older_head(head: Path) -> None:
    document = json.loads(head.read_text())
    head.write_text(json.dumps(document | {"rows": 1}))


HEADS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "deleted"),
    "older": (_older_head, "seal"),
    "damaged": (lambda head: head.write_text("{"), "seal"),
}


def test_changed_head_refuses_everything(session: Session) -> None:
    count_use(session, grant_as_ada(session), PLAN)
    head = session.home.standing_head.read_bytes()
    for spoil, code in HEADS.values():
        spoil(session.home.standing_head)
        refusal(session, code)
        session.home.standing_head.write_bytes(head)
    assert find_standing(session)


def test_row_that_a_killed_process_wrote_before_the_head_counts(session: Session) -> None:
    given = grant_as_ada(session)
    before = session.home.standing_head.read_bytes()
    count_use(session, given, PLAN)
    session.home.standing_head.write_bytes(before)
    assert find_standing(session) == given
    count_use(session, given, PLAN)
    refusal(session, "month")


def _link(key: Path) -> None:
    key.rename(key.with_suffix(".moved"))
    key.symlink_to(key.with_suffix(".moved"))


KEYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "for the group": (lambda key: key.chmod(0o640), "its mode is 640, not 600"),
    "for others": (lambda key: key.chmod(0o604), "its mode is 604, not 600"),
    "for nobody": (lambda key: key.chmod(0o400), "its mode is 400, not 600"),
    "a link": (_link, "cannot be read"),
    "cut": (lambda key: os.truncate(key, 31), "not 32 bytes long"),
    "empty": (lambda key: os.truncate(key, 0), "not 32 bytes long"),
}


def test_key_with_other_permissions_or_content_refuses_everything(session: Session) -> None:
    grant_as_ada(session)
    path = session.home.standing_key
    key = path.read_bytes()
    for name, (spoil, reason) in KEYS.items():
        spoil(path)
        assert reason in refusal(session, "key"), name
        path.unlink()
        path.write_bytes(key)
        path.chmod(0o600)
    assert find_standing(session)


def test_another_key_makes_no_old_approval_valid(session: Session) -> None:
    count_use(session, grant_as_ada(session), PLAN)
    count_use(session, find_standing(session), PLAN)
    session.home.standing_key.write_bytes(bytes(32))
    refusal(session, "seal")  # the head is the other key's
    session.home.standing_key.unlink()
    with pytest.raises(StandingError) as error:
        find_standing(session)
    assert error.value.code == "none"
    session.home.standing_head.unlink()
    grant_as_ada(session)
    assert len(list_standing(session)) == 1
    # what was spent with the lost key still counts
    refusal(session, "month")


def test_impossible_amount_by_hand_lowers_what_may_be_spent(session: Session) -> None:
    count_use(session, grant_as_ada(session), PLAN)
    for usd in ("-1.0", "NULL", "CAST('nan' AS FLOAT64)"):
        change(
            session,
            f"INSERT INTO `{TABLE}` (entry, approval_id, event, usd, recorded_by, recorded_at, "
            f"key_id, previous_seal, seal) SELECT 1, '0', 'used', {usd}, 'x', recorded_at, 'x', "
            f"'', '' FROM `{TABLE}` WHERE event = 'used' AND approval_id <> '0'",
        )
        refusal(session, "month")
        change(session, f"DELETE FROM `{TABLE}` WHERE approval_id = '0'")


def test_clock_behind_the_newest_row_refuses_everything(session: Session) -> None:
    given = grant_as_ada(session)
    count_use(session, given, PLAN)
    session.now = NOW - dt.timedelta(days=2)  # in March, whose ceiling is unused
    assert "the clock: behind the newest row" in refusal(session, "clock")


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"roots": []}, "--roots: at least one root"),
    ({"roots": ["XX"]}, "XX: not a root of the universe"),
    ({"schemas": []}, "--schemas: at least one"),
    ({"schemas": ["trades"]}, "--schemas trades: not a schema"),
    ({"max_usd_per_run": float("nan")}, "--max-usd-per-run nan: not an amount"),
    ({"max_usd_per_month": -1.0}, "--max-usd-per-month -1.0: not an amount"),
    ({"until": dt.date(2025, 3, 31)}, "--until 2025-03-31: in the past"),
    ({"by": " "}, "--by: a person's name is needed"),
]


def test_grant_refuses_invalid_arguments(session: Session) -> None:
    for option, line in INVALID:
        with pytest.raises(UsageError) as error:
            grant_as_ada(session, **option)
        assert line in str(error.value)
    assert not session.home.standing_key.exists()


def test_revoke_refuses_an_unknown_id_and_no_name(session: Session) -> None:
    with pytest.raises(UsageError, match="no standing approval of this home"):
        revoke(session, "abc", by="Ada")
    given = grant_as_ada(session)
    with pytest.raises(UsageError, match="a person's name is needed"):
        revoke(session, given.approval_id, by=" ")


@pytest.mark.bigquery
def test_chain_is_verified_on_bigquery(session: Session) -> None:
    given = grant_as_ada(session)
    count_use(session, given, PLAN)
    assert find_standing(session) == given
    assert spent_in_month(session) == pytest.approx(0.05)
    change(session, f"DELETE FROM `{TABLE}` WHERE event = 'used'")
    refusal(session, "deleted")
