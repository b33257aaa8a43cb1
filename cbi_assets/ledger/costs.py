"""What loads cost, where the warehouse bills."""

from __future__ import annotations

import logging
from dataclasses import asdict

from cbi_assets.errors import ServiceError
from cbi_assets.session import Session
from cbi_assets.warehouse.base import JobCost, Statement
from cbi_assets.warehouse.sql_files import load_sql

logger = logging.getLogger(__name__)


def record_cost(session: Session, load_id: str | None) -> JobCost | None:
    """Return what the session has cost so far, recorded in ops.load_costs if a load published.

    Returns None if nothing is billed, or if the cost cannot be read: the load is published anyway.
    """
    try:
        cost = session.warehouse.cost()
        if cost is not None and load_id is not None:
            params = {"load_id": load_id, "recorded_at": session.now} | asdict(cost)
            session.warehouse.transact([Statement(load_sql("load/record_cost"), params)])
    except ServiceError as error:
        logger.warning("the load is complete, but its cost could not be read: %s", error)
        return None
    return cost
