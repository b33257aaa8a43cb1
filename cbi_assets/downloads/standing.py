"""Standing approvals: a person's permission to buy newest days until a date, inside ceilings.

Rows of ops.standing_approvals are added, never changed: one when an approval is granted or revoked,
and one for each use, before anything is bought. Each is sealed with the home's key together with
the seal of the row before it; the head next to the key names the newest one. So a row written or
edited by hand, and a deleted one, are noticed, and then nothing is bought.
"""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal, get_args

from cbi_assets.databento_api.batch_request import Schema
from cbi_assets.downloads.plan_model import Plan
from cbi_assets.downloads.seal import (
    START_AGAIN,
    Head,
    SealKey,
    StandingError,
    create_key,
    read_head,
    read_key,
    write_head,
)
from cbi_assets.errors import UsageError
from cbi_assets.formatting import dollars
from cbi_assets.ledger.append import append_rows
from cbi_assets.session import CLOCK_TOLERANCE, Session
from cbi_assets.tables import STANDING_APPROVALS

Event = Literal["granted", "used", "revoked"]
State = Literal["valid", "expired", "revoked"]

_GRANT_AGAIN: Final = "A person approves it: `cbi approve --standing`."


@dataclass(frozen=True)
class Entry:
    """One row of ops.standing_approvals. Fields that its event does not need are None or empty."""

    entry: int
    approval_id: str
    event: Event
    roots: tuple[str, ...]
    schemas: tuple[str, ...]
    max_usd_per_run: float | None
    max_usd_per_month: float | None
    valid_until: dt.date | None
    plan_hash: str | None
    usd: float | None
    recorded_by: str
    recorded_at: dt.datetime
    key_id: str
    previous_seal: str
    seal: str = ""

    def document(self) -> dict[str, Any]:
        """Return what is sealed: all fields but the seal, as JSON values."""
        values = {name: _to_json(value) for name, value in asdict(self).items()}
        del values["seal"]
        return values


@dataclass(frozen=True)
class Standing:
    """A standing approval and its state; `valid_until` is the last day (UTC) on which it counts."""

    approval_id: str
    roots: tuple[str, ...]
    schemas: tuple[Schema, ...]
    max_usd_per_run: float
    max_usd_per_month: float
    valid_until: dt.date
    granted_by: str
    granted_at: dt.datetime
    state: State


def grant(
    session: Session,
    *,
    roots: Sequence[str],
    schemas: Sequence[str],
    max_usd_per_run: float,
    max_usd_per_month: float,
    until: dt.date,
    by: str,
) -> Standing:
    """Record a standing approval, dated with the session's clock; creates the key at first use.

    Parameters
    ----------
    session : Session
        Where ops.standing_approvals is, and the home with the key.
    roots, schemas : sequence of str
        What may be bought.
    max_usd_per_run, max_usd_per_month : float
        The most that one run, and all runs of one calendar month (UTC), may spend.
    until : date
        Last day (UTC) on which anything may be bought.
    by : str
        Name of the person who approves it.

    Raises
    ------
    UsageError
        If an argument is invalid.
    StandingError
        If the key cannot be used, or rows were edited or deleted.
    """
    chosen = session.universe.select(tuple(roots))
    if not roots:
        raise UsageError("at least one root is needed", subject="--roots")
    unknown = sorted(set(schemas) - set(get_args(Schema)))
    if unknown or not schemas:
        raise UsageError(
            "not a schema" if unknown else "at least one schema is needed",
            subject=f"--schemas {unknown[0]}" if unknown else "--schemas",
            remedy=f"Use one of {', '.join(get_args(Schema))}.",
        )
    for option, usd in (("run", max_usd_per_run), ("month", max_usd_per_month)):
        if not (math.isfinite(usd) and usd >= 0):
            raise UsageError("not an amount of US dollars", subject=f"--max-usd-per-{option} {usd}")
    if until < session.now.astimezone(dt.UTC).date():
        raise UsageError("in the past", subject=f"--until {until}", remedy="Give a later day.")
    _require_name(by)
    entry = _append(
        session,
        read_key(session.home) or create_key(session.home),
        event="granted",
        approval_id=uuid.uuid4().hex[:12],
        roots=chosen,
        schemas=tuple(sorted(set(schemas))),
        max_usd_per_run=float(max_usd_per_run),
        max_usd_per_month=float(max_usd_per_month),
        valid_until=until,
        recorded_by=by.strip(),
    )
    return _standing(entry, [entry], session.now)


def revoke(session: Session, approval_id: str, *, by: str) -> Standing:
    """Record that a standing approval no longer counts, from now on.

    Raises UsageError if there is none of that ID, and StandingError as `read_entries`.
    """
    _require_name(by)
    found = [s for s in list_standing(session) if s.approval_id == approval_id]
    key = read_key(session.home)
    if not found or key is None:
        raise UsageError(
            "no standing approval of this home",
            subject=f"--revoke {approval_id}",
            remedy="`cbi approvals` lists them.",
        )
    if found[0].state != "revoked":
        _append(session, key, event="revoked", approval_id=approval_id, recorded_by=by.strip())
    return replace(found[0], state="revoked")


def read_entries(session: Session) -> list[Entry]:
    """Return this home's rows, each verified; empty without a key.

    Raises StandingError if the key may not be used, if a row or the head is not sealed by it, if
    rows were deleted, or if the clock is behind the newest row.
    """
    key = read_key(session.home)
    if key is None:
        return []
    return _verified(session, key)


def list_standing(session: Session) -> list[Standing]:
    """Return every standing approval of this home, the earliest first. Raises as `read_entries`."""
    entries = read_entries(session)
    return [_standing(e, entries, session.now) for e in entries if e.event == "granted"]


def find_standing(session: Session) -> Standing:
    """Return the newest valid standing approval. Raises StandingError if there is none."""
    every = list_standing(session)
    for standing in reversed(every):
        if standing.state == "valid":
            return standing
    if not every:
        raise StandingError("there is no standing approval", remedy=_GRANT_AGAIN, code="none")
    newest = every[-1]
    why = (
        f"expired after {newest.valid_until} (UTC)" if newest.state == "expired" else "was revoked"
    )
    raise StandingError(
        f"{why}: nothing is bought without a person",
        subject=f"standing approval {newest.approval_id} by {newest.granted_by}",
        remedy=_GRANT_AGAIN,
        code=newest.state,
    )


def spent_in_month(session: Session) -> float:
    """Return what was counted in the calendar month (UTC) of the session's clock, in US dollars.

    Counts the uses of every key, a row with an impossible amount as infinite: what somebody adds
    to the table by hand can only lower what may be spent.
    """
    first = _month_start(session.now)
    rows = session.warehouse.query(
        f"SELECT usd FROM `{STANDING_APPROVALS.id}` WHERE event = 'used' "
        "AND recorded_at >= @first AND recorded_at < @next",
        {"first": first, "next": _month_start(first + dt.timedelta(days=32))},
    )
    amounts = rows["usd"].to_list()
    if any(usd is None or not math.isfinite(usd) or usd < 0 for usd in amounts):
        return math.inf
    return math.fsum(amounts)


def count_use(session: Session, standing: Standing, plan: Plan) -> Entry:
    """Count a plan's quote against the ceilings of run and month, before anything is bought.

    The count stays, whatever becomes of the purchase. Raises StandingError, and counts nothing, if
    the plan has other roots or schemas, is not quoted, or is above a ceiling.
    """
    subject = f"plan {plan.plan_hash[:12]}"
    remedy = f"A person approves it: `cbi approve {plan.plan_hash[:12]} --by NAME --max-usd N`."
    outside = [
        f"{r.root} {r.schema}"
        for r in plan.requests
        if r.root not in standing.roots or r.schema not in standing.schemas
    ]
    name = f"standing approval {standing.approval_id}"
    if outside or plan.basis != "quoted" or plan.cost_usd is None:
        why = f"{outside[0]} is not in {name}" if outside else f"it is not quoted, as {name} needs"
        raise StandingError(why, subject=subject, remedy=remedy, code="scope")
    cost, spent = plan.cost_usd, spent_in_month(session)
    if cost > standing.max_usd_per_run:
        raise StandingError(
            f"it costs {dollars(cost)}, above the {dollars(standing.max_usd_per_run)} per run of "
            f"{name}; nothing was bought",
            subject=subject, remedy=remedy, code="run",
        )  # fmt: skip
    if spent + cost > standing.max_usd_per_month:
        raise StandingError(
            f"it costs {dollars(cost)}, with {dollars(spent)} spent this month: above the "
            f"{dollars(standing.max_usd_per_month)} per month of {name}; nothing was bought",
            subject=subject, remedy=remedy, code="month",
        )  # fmt: skip
    key = read_key(session.home)
    assert key is not None
    return _append(
        session,
        key,
        event="used",
        approval_id=standing.approval_id,
        plan_hash=plan.plan_hash,
        usd=cost,
        recorded_by="top-up",
    )


def _append(session: Session, key: SealKey, **values: Any) -> Entry:
    entries = _verified(session, key)
    empty: dict[str, Any] = dict.fromkeys(field.name for field in fields(Entry))
    entry = Entry(
        **empty
        | {"roots": (), "schemas": (), "seal": ""}
        | values
        | {
            "entry": len(entries) + 1,
            "recorded_at": session.now.astimezone(dt.UTC),
            "key_id": key.id,
            "previous_seal": entries[-1].seal if entries else "",
        }
    )
    entry = replace(entry, seal=key.seal(entry.document()))
    append_rows(session.warehouse, STANDING_APPROVALS, [asdict(entry)])
    # After a kill in between, the row is one more than the head states: it is sealed, so it counts.
    write_head(session.home, key, Head(entry.entry, entry.seal))
    return entry


def _verified(session: Session, key: SealKey) -> list[Entry]:
    rows = session.warehouse.query(
        f"SELECT * FROM `{STANDING_APPROVALS.id}` WHERE key_id = @key_id ORDER BY entry, seal",
        {"key_id": key.id},
    )
    entries = [_from_row(row) for row in rows.iter_rows(named=True)]
    table = STANDING_APPROVALS.id
    previous = ""
    for place, entry in enumerate(entries, 1):
        linked = (entry.entry, entry.previous_seal) == (place, previous)
        if not linked or not key.has_sealed(entry.document(), entry.seal):
            raise StandingError(
                f"row {place} does not match its seal: it was written or edited by hand, or the "
                "row before it was deleted. Nothing is bought",
                subject=table, remedy=START_AGAIN, code="seal",
            )  # fmt: skip
        previous = entry.seal
    head = read_head(session.home, key)
    if head is None and entries:
        raise StandingError(
            "missing, so rows may have been deleted. Nothing is bought",
            subject=str(session.home.standing_head), remedy=START_AGAIN, code="deleted",
        )  # fmt: skip
    if head is not None and (
        head.rows > len(entries) or (head.rows and entries[head.rows - 1].seal != head.seal)
    ):
        raise StandingError(
            f"it has {len(entries)} of the {head.rows} rows that were sealed: rows were deleted. "
            "Nothing is bought",
            subject=table, remedy=START_AGAIN, code="deleted",
        )  # fmt: skip
    if entries and entries[-1].recorded_at > session.now + CLOCK_TOLERANCE:
        raise StandingError(
            f"behind the newest row of {table}, of {entries[-1].recorded_at:%Y-%m-%d %H:%M} UTC",
            subject="the clock", remedy=f"Set this machine's clock. {START_AGAIN}", code="clock",
        )  # fmt: skip
    return entries


def _standing(granted: Entry, entries: Sequence[Entry], now: dt.datetime) -> Standing:
    assert granted.max_usd_per_run is not None
    assert granted.max_usd_per_month is not None
    assert granted.valid_until is not None
    own = [entry for entry in entries if entry.approval_id == granted.approval_id]
    state: State = "valid"
    if any(entry.event == "revoked" for entry in own):
        state = "revoked"
    elif now.astimezone(dt.UTC).date() > granted.valid_until:
        state = "expired"
    schemas: Any = granted.schemas
    return Standing(
        granted.approval_id, granted.roots, schemas, granted.max_usd_per_run,
        granted.max_usd_per_month, granted.valid_until, granted.recorded_by, granted.recorded_at,
        state,
    )  # fmt: skip


def _require_name(by: str) -> None:
    if not by.strip():
        raise UsageError("a person's name is needed", subject="--by")


def _month_start(now: dt.datetime) -> dt.datetime:
    utc = now.astimezone(dt.UTC)
    return dt.datetime(utc.year, utc.month, 1, tzinfo=dt.UTC)


def _from_row(row: Mapping[str, Any]) -> Entry:
    values = {field.name: row[field.name] for field in fields(Entry)}
    for name in ("roots", "schemas"):
        values[name] = tuple(values[name] or ())
    return Entry(**values)


def _to_json(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value
