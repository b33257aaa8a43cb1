"""Approvals: a person's word that a plan may be bought, up to a ceiling, once.

An approval is a row of ops.approvals, bound to the plan's hash and sealed with a hash of its own;
what becomes of it are rows of ops.approval_uses. Nothing changes either kind of row.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import polars as pl

from cbi_assets.downloads.plan_model import Basis, Plan
from cbi_assets.errors import UsageError
from cbi_assets.tables import APPROVAL_USES, APPROVALS, TableSpec
from cbi_assets.warehouse.base import Statement, Warehouse

Event = Literal["begun", "finished"]
State = Literal["valid", "begun", "used up", "expired", "edited"]


class ApprovalError(UsageError):
    """No approval lets this plan be bought."""


@dataclass(frozen=True)
class Approval:
    """One row of ops.approvals. `max_usd` is the ceiling; `expires_at` None never comes."""

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

    def sealed(self) -> str:
        """sha256 of the canonical JSON of all fields but the seal."""
        document = {name: _plain(value) for name, value in asdict(self).items() if name != "seal"}
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Listed:
    """An approval and how it stands. A begun one can be resumed until it is finished."""

    approval: Approval
    state: State
    begun_at: dt.datetime | None
    finished_at: dt.datetime | None


def approve(
    warehouse: Warehouse,
    plan: Plan,
    *,
    by: str,
    max_usd: float,
    now: dt.datetime,
    expires: dt.date | None = None,
) -> Approval:
    """Enter an approval of `plan`; it holds through the day `expires` (UTC).

    Raises UsageError for a plan that asks for nothing, for a quote above `max_usd`, and for a
    name, ceiling or date that cannot be.
    """
    _refuse(plan, by, max_usd, now, expires)
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
        approved_at=now.astimezone(dt.UTC),
        expires_at=None if expires is None else _day_after(expires),
    )
    row = {name: _listed(value) for name, value in asdict(approval).items()}
    _append(warehouse, APPROVALS, row | {"seal": approval.sealed()})
    return find(warehouse, approval.approval_id)


def find_valid(
    warehouse: Warehouse, plan: Plan, now: dt.datetime, *, to_fetch: bool = False
) -> Approval:
    """The approval that lets `plan` be bought at `now`; one that was begun goes first.

    With `to_fetch` an approval counts after its expiry too: what was bought on it may be fetched.
    Raises ApprovalError where there is none: never approved, for another plan, expired, used up,
    or edited by hand.
    """
    name = plan.plan_hash[:12]
    every = list_approvals(warehouse, now)
    own = [listed for listed in every if listed.approval.plan_hash == plan.plan_hash]
    if not own:
        others = sorted({listed.approval.plan_hash[:12] for listed in every})
        there = (
            f" There are approvals, but for other plans ({', '.join(others)})." if others else ""
        )
        raise ApprovalError(
            f"plan {name}: not approved.{there} A person approves it by "
            f"`cbi approve {name} --by NAME --max-usd N`."
        )
    good: dict[State, Listed] = {
        listed.state: listed
        for listed in own
        if listed.state in ("valid", "begun") or (to_fetch and _may_fetch(listed))
    }
    for state in ("begun", "expired", "valid"):
        if state in good:
            return good[state].approval
    last = own[-1]
    raise ApprovalError(
        f"plan {name}: {_why_not(last)}. A person approves it anew by "
        f"`cbi approve {name} --by NAME --max-usd N`."
    )


def find(warehouse: Warehouse, approval_id: str) -> Approval:
    """One approval, as it is entered. Raises ApprovalError for an unknown one."""
    rows = warehouse.query(
        f"SELECT * FROM `{APPROVALS.id}` WHERE approval_id = @id", {"id": approval_id}
    )
    if rows.is_empty():
        raise ApprovalError(f"approval {approval_id}: not entered. `cbi approvals` lists them.")
    return _of_row(rows.row(0, named=True))


def list_approvals(warehouse: Warehouse, now: dt.datetime) -> list[Listed]:
    """Every approval and how it stands at `now`, the earliest first."""
    uses = {
        (approval_id, event): at
        for approval_id, event, at in warehouse.query(
            f"SELECT approval_id, event, MIN(happened_at) AS happened_at "
            f"FROM `{APPROVAL_USES.id}` GROUP BY approval_id, event"
        ).iter_rows()
    }
    rows = warehouse.query(f"SELECT * FROM `{APPROVALS.id}` ORDER BY approved_at, approval_id")
    found = []
    for row in rows.iter_rows(named=True):
        approval = _of_row(row)
        begun = uses.get((approval.approval_id, "begun"))
        finished = uses.get((approval.approval_id, "finished"))
        state = _judge(approval, begun, finished, now)
        found.append(Listed(approval, state, begun, finished))
    return found


def record_use(warehouse: Warehouse, approval: Approval, event: Event, now: dt.datetime) -> None:
    """Enter that the approval's download has begun, or that all of it has come; once each."""
    listed = {entry.approval.approval_id: entry for entry in list_approvals(warehouse, now)}
    entry = listed.get(approval.approval_id)
    if entry is not None and (entry.finished_at if event == "finished" else entry.begun_at):
        return
    row = {
        "approval_id": approval.approval_id,
        "plan_hash": approval.plan_hash,
        "event": event,
        "happened_at": now.astimezone(dt.UTC),
    }
    _append(warehouse, APPROVAL_USES, row)


def _append(warehouse: Warehouse, spec: TableSpec, row: Mapping[str, Any]) -> None:
    staged = warehouse.stage_frame("ledger_row", pl.DataFrame([row], schema=spec.polars_schema))
    names = ", ".join(spec.column_names)
    warehouse.transact(
        [Statement(f"INSERT INTO `{spec.id}` ({names}) SELECT {names} FROM `{staged}`")]
    )


def _refuse(plan: Plan, by: str, max_usd: float, now: dt.datetime, expires: dt.date | None) -> None:
    if not plan.requests:
        raise UsageError(f"plan {plan.plan_hash[:12]}: it asks for nothing; there is no need.")
    if not by.strip():
        raise UsageError("--by: a person's name is needed.")
    if not (math.isfinite(max_usd) and max_usd >= 0):
        raise UsageError(f"--max-usd {max_usd}: not an amount of US dollars.")
    if expires is not None and _day_after(expires) <= now:
        raise UsageError(f"--expires {expires}: that day is over. Give a later one.")
    if plan.basis == "quoted" and plan.cost_usd is not None and plan.cost_usd > max_usd:
        raise UsageError(
            f"--max-usd {max_usd:.2f}: the plan was quoted at {plan.cost_usd:.2f} USD. Raise the "
            "ceiling, or plan fewer roots by `cbi plan --symbol`."
        )


def _may_fetch(listed: Listed) -> bool:
    return listed.state == "expired" and listed.begun_at is not None


def _judge(
    approval: Approval, begun: dt.datetime | None, finished: dt.datetime | None, now: dt.datetime
) -> State:
    if approval.sealed() != approval.seal:
        return "edited"
    if finished is not None:
        return "used up"
    if approval.expires_at is not None and now >= approval.expires_at:
        return "expired"
    return "valid" if begun is None else "begun"


def _why_not(listed: Listed) -> str:
    approval = listed.approval
    told = f"approval {approval.approval_id} by {approval.approved_by}"
    if listed.state == "edited":
        return f"{told} does not match its seal: somebody edited it, so it counts for nothing"
    if listed.state == "used up":
        return f"{told} is used up: its download was finished on {listed.finished_at:%Y-%m-%d}"
    return f"{told} expired on {approval.expires_at:%Y-%m-%d} at 00:00 UTC"


def _of_row(row: Mapping[str, Any]) -> Approval:
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(Approval)}
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(value)
    return Approval(**values)


def _day_after(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), dt.UTC)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value
