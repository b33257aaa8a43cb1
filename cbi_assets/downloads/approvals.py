"""Approvals: a person's permission to buy a plan once, up to a ceiling.

An approval is a row of ops.approvals, bound to the plan's hash and sealed with a hash of its own
columns. Its use is recorded in ops.approval_uses. Rows of both tables are added, never changed.
"""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal

from cbi_assets.databento_api.batch_request import canonical_sha256
from cbi_assets.downloads.plan_model import Basis, Plan
from cbi_assets.errors import UsageError
from cbi_assets.formatting import dollars
from cbi_assets.ledger.append import append_rows
from cbi_assets.session import Session
from cbi_assets.tables import APPROVAL_USES, APPROVALS
from cbi_assets.warehouse.base import Statement

Event = Literal["begun", "finished"]
State = Literal["valid", "begun", "used up", "expired", "edited"]


class ApprovalError(UsageError):
    """No approval allows this plan to be bought. `code` is "none" or the approval's State."""


@dataclass(frozen=True)
class Approval:
    """One row of ops.approvals. `max_usd` is the ceiling; without `expires_at` it never expires."""

    approval_id: str
    plan_hash: str
    request_ids: tuple[str, ...]
    datasets: tuple[str, ...]
    schemas: tuple[str, ...]
    symbols: tuple[str, ...]
    start_date: dt.date
    end_date: dt.date
    basis: Basis
    shown_usd: float | None
    max_usd: float
    approved_by: str
    approved_at: dt.datetime
    expires_at: dt.datetime | None
    seal: str = ""

    def compute_seal(self) -> str:
        """Return the sha256 of the canonical JSON of all fields but the seal."""
        document = asdict(self)
        del document["seal"]
        return canonical_sha256({name: _to_json(value) for name, value in document.items()})


@dataclass(frozen=True)
class ApprovalStatus:
    """An approval and its state. A begun one can be resumed until it is finished."""

    approval: Approval
    state: State
    begun_at: dt.datetime | None
    finished_at: dt.datetime | None


def approve(
    session: Session, plan: Plan, *, by: str, max_usd: float, expires: dt.date | None = None
) -> Approval:
    """Record an approval of `plan`, dated with the session's clock.

    Parameters
    ----------
    session : Session
        Where ops.approvals is.
    plan : Plan
        What may be bought.
    by : str
        Name of the person who approves it.
    max_usd : float
        The most that may be spent.
    expires : date, optional
        Last day (UTC) on which it may be bought.

    Raises
    ------
    UsageError
        If the plan has no requests, its quote is above `max_usd`, or an argument is invalid.
    """
    _validate(plan, by, max_usd, session.now, expires)
    requests = plan.requests
    approval = Approval(
        approval_id=uuid.uuid4().hex[:12],
        plan_hash=plan.plan_hash,
        request_ids=tuple(sorted(r.request_id for r in requests)),
        datasets=tuple(sorted({r.dataset for r in requests})),
        schemas=tuple(sorted({r.schema for r in requests})),
        symbols=tuple(sorted({symbol for r in requests for symbol in r.symbols})),
        start_date=min(r.start for r in requests),
        end_date=max(r.end for r in requests),
        basis=plan.basis,
        shown_usd=plan.cost_usd,
        max_usd=float(max_usd),
        approved_by=by.strip(),
        approved_at=session.now.astimezone(dt.UTC),
        expires_at=None if expires is None else _day_after(expires),
    )
    row = asdict(approval) | {"seal": approval.compute_seal()}
    append_rows(session.warehouse, APPROVALS, [row])
    (stored,) = session.warehouse.query(
        f"SELECT * FROM `{APPROVALS.id}` WHERE approval_id = @id", {"id": approval.approval_id}
    ).rows(named=True)
    return _from_row(stored)


def find_valid(session: Session, plan: Plan, *, to_fetch: bool = False) -> Approval:
    """Return the approval that allows `plan` to be bought now; a begun one comes first.

    With `to_fetch`, an approval also counts after its expiry if it was begun: what was bought may
    be downloaded. Raises ApprovalError if there is none.
    """
    name = plan.plan_hash[:12]
    remedy = f"A person approves it: `cbi approve {name} --by NAME --max-usd N`."
    every = list_approvals(session)
    own = [status for status in every if status.approval.plan_hash == plan.plan_hash]
    if not own:
        others = sorted({status.approval.plan_hash[:12] for status in every})
        problem = "not approved"
        if others:
            problem += f" (there are approvals for other plans: {', '.join(others)})"
        raise ApprovalError(problem, subject=f"plan {name}", remedy=remedy, code="none")
    usable: dict[State, ApprovalStatus] = {
        status.state: status
        for status in own
        if status.state in ("valid", "begun") or (to_fetch and _may_fetch(status))
    }
    for state in ("begun", "expired", "valid"):
        if state in usable:
            return usable[state].approval
    raise ApprovalError(
        _why_unusable(own[-1]), subject=f"plan {name}", remedy=remedy, code=own[-1].state
    )


USES_QUERY: Final = Statement(
    "SELECT approval_id, event, MIN(happened_at) AS happened_at "
    f"FROM `{APPROVAL_USES.id}` GROUP BY approval_id, event"
)
APPROVALS_QUERY: Final = Statement(
    f"SELECT {', '.join(APPROVALS.column_names)} FROM `{APPROVALS.id}` "
    "ORDER BY approved_at, approval_id"
)
"""What `list_approvals` asks."""


def list_approvals(session: Session) -> list[ApprovalStatus]:
    """Return every approval and its state at the session's clock, the earliest first."""
    uses = {
        (approval_id, event): at
        for approval_id, event, at in session.warehouse.query(USES_QUERY.sql).iter_rows()
    }
    rows = session.warehouse.query(APPROVALS_QUERY.sql)
    statuses = []
    for row in rows.iter_rows(named=True):
        approval = _from_row(row)
        begun = uses.get((approval.approval_id, "begun"))
        finished = uses.get((approval.approval_id, "finished"))
        state = _state(approval, begun, finished, session.now)
        statuses.append(ApprovalStatus(approval, state, begun, finished))
    return statuses


def record_use(session: Session, approval: Approval, event: Event) -> None:
    """Record that the approval's download has begun or finished, once each."""
    for status in list_approvals(session):
        if status.approval.approval_id == approval.approval_id and (
            status.finished_at if event == "finished" else status.begun_at
        ):
            return
    row = {
        "approval_id": approval.approval_id,
        "plan_hash": approval.plan_hash,
        "event": event,
        "happened_at": session.now.astimezone(dt.UTC),
    }
    append_rows(session.warehouse, APPROVAL_USES, [row])


def _validate(
    plan: Plan, by: str, max_usd: float, now: dt.datetime, expires: dt.date | None
) -> None:
    if not plan.requests:
        raise UsageError(
            "it has no requests, so there is nothing to approve",
            subject=f"plan {plan.plan_hash[:12]}",
        )
    if not by.strip():
        raise UsageError("a person's name is needed", subject="--by")
    if not (math.isfinite(max_usd) and max_usd >= 0):
        raise UsageError("not an amount of US dollars", subject=f"--max-usd {max_usd}")
    if expires is not None and _day_after(expires) <= now:
        raise UsageError("in the past", subject=f"--expires {expires}", remedy="Give a later day.")
    if plan.basis == "quoted" and plan.cost_usd is not None and plan.cost_usd > max_usd:
        raise UsageError(
            f"the plan was quoted at {dollars(plan.cost_usd)}",
            subject=f"--max-usd {max_usd:.2f}",
            remedy="Raise the ceiling, or plan fewer roots with `cbi plan --symbol`.",
        )


def _may_fetch(status: ApprovalStatus) -> bool:
    return status.state == "expired" and status.begun_at is not None


def _state(
    approval: Approval, begun: dt.datetime | None, finished: dt.datetime | None, now: dt.datetime
) -> State:
    if approval.compute_seal() != approval.seal:
        return "edited"
    if finished is not None:
        return "used up"
    if approval.expires_at is not None and now >= approval.expires_at:
        return "expired"
    return "valid" if begun is None else "begun"


def _why_unusable(status: ApprovalStatus) -> str:
    approval = status.approval
    name = f"approval {approval.approval_id} by {approval.approved_by}"
    if status.state == "edited":
        return f"{name} does not match its seal: its row was edited, so it is invalid"
    if status.state == "used up":
        return f"{name} is used up: its download finished on {status.finished_at:%Y-%m-%d}"
    return f"{name} expired on {approval.expires_at:%Y-%m-%d} at 00:00 UTC"


def _from_row(row: Mapping[str, Any]) -> Approval:
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(Approval)}
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(value)
    return Approval(**values)


def _day_after(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), dt.UTC)


def _to_json(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    return value
