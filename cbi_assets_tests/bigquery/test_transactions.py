"""Transactions: assertions stop them, and one that came second audits again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cbi_assets.errors import AuditError, LedgerMovedError
from cbi_assets.ledger.books import books_by_file
from cbi_assets.load import load as loading
from cbi_assets.session import Project
from cbi_assets.warehouse.base import Assertion, Statement
from cbi_assets_tests.bigquery.conftest import SPOTS, OpenRemote
from cbi_assets_tests.bigquery.proxy import (
    Proxy,
    Rule,
    refuse,
)
from cbi_assets_tests.bigquery.publication import ROWS, job_ids, publish, spots
from cbi_assets_tests.helpers import load_once, open_warehouse, query, table
from cbi_assets_tests.load.lines import put_lines, record

pytestmark = pytest.mark.bigquery


def test_failed_assertion_raises_its_error_with_the_row_and_rolls_back(
    proxy: Proxy, open_remote: OpenRemote
) -> None:
    with open_remote() as warehouse:
        publish(warehouse)
        with pytest.raises(LedgerMovedError) as raised:
            warehouse.transact(
                [
                    Statement(f"DELETE FROM `{SPOTS.id}` WHERE TRUE"),
                    Statement(f"INSERT INTO `{SPOTS.id}` (name, count) VALUES ('it''s {{}}', 7)"
                              .replace("''", "\\'")),
                    Assertion(f"SELECT name, count FROM `{SPOTS.id}` WHERE count > @most",
                              {"most": 9}, message="never {0}"),
                    Assertion(f"SELECT name, count FROM `{SPOTS.id}` WHERE count > @most",
                              {"most": 6}, message="found {0}: {1} are too many",
                              error=LedgerMovedError),
                ]
            )  # fmt: skip
        assert str(raised.value) == "found it's {}: 7 are too many"
        assert spots(warehouse) == ROWS
    assert len(job_ids(proxy, "-transaction-")) == 2  # the publication's, and this one


def test_passing_assertion_lets_the_transaction_commit(open_remote: OpenRemote) -> None:
    with open_remote() as warehouse:
        publish(warehouse)
        warehouse.transact(
            [
                Assertion(f"SELECT name FROM `{SPOTS.id}` WHERE count > 3", message="{0}"),
                Statement(f"DELETE FROM `{SPOTS.id}` WHERE count = @count", {"count": 1}),
            ]
        )
        assert spots(warehouse) == ROWS[1:]


def test_first_error_is_raised_if_dropping_staging_tables_fails_too(
    proxy: Proxy, open_remote: OpenRemote
) -> None:
    rule = proxy.add(Rule("DELETE", r"/tables/", refuse("accessDenied"), times=None))
    assertion = Assertion(f"SELECT name FROM `{SPOTS.id}` ORDER BY name", message="{0} is here")

    def publish_and_fail() -> None:
        with open_remote() as warehouse:
            publish(warehouse)
            warehouse.transact([assertion])

    with pytest.raises(AuditError, match="a is here"):
        publish_and_fail()
    assert rule.fired >= 1


@pytest.mark.full
def test_load_that_another_home_preceded_audits_again_and_publishes_once(
    make_project: Callable[..., Project],
    drive: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    put_lines(drive, [record(0), record(1), record(2, volume="-1")])
    find = loading.find_overlaps

    def overtake(*args: Any) -> Any:
        monkeypatch.setattr(loading, "find_overlaps", find)
        assert load_once(make_project("other")).published == 2
        return find(*args)

    monkeypatch.setattr(loading, "find_overlaps", overtake)
    project = make_project()
    outcome = load_once(project)

    assert any("another load published first" in line for line in caplog.messages)
    assert outcome.published == 0
    assert table(project).height == 2
    assert query(project, "SELECT * FROM `ops.loads`")["published"].to_list() == [2]
    assert query(project, "SELECT * FROM `ops.quarantined_bars`").height == 1
    with open_warehouse(project) as warehouse:
        assert books_by_file(warehouse)["difference"].to_list() == [0]
