"""A plan's hash covers what is requested and every figure that an approver sees."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cbi_assets.downloads.plan_model import Plan, Request
from cbi_assets.errors import UsageError

MADE = dt.datetime(2025, 4, 1, 12, tzinfo=dt.UTC)
REQUEST = Request(
    root="ZL", dataset="GLBX.MDP3", schema="ohlcv-1h", symbols=("ZL.v.0",), stype_in="continuous",
    start=dt.date(2025, 1, 6), end=dt.date(2025, 1, 9), why="a hole", records=57, bytes=3_192,
    cost_usd=0.02, basis="quoted",
)  # fmt: skip
OTHER = replace(REQUEST, root="ZS", symbols=("ZS.v.0",), cost_usd=0.03)


def plan(*requests: Request, **change: Any) -> Plan:
    return Plan(
        **({"made_at": MADE, "through": dt.date(2025, 1, 8), "requests": requests} | change)
    )


def test_request_id_is_the_sha256_of_the_identity() -> None:
    # the canonical JSON, written by hand
    text = (
        '{"compression":"zstd","dataset":"GLBX.MDP3","encoding":"dbn","end":"2025-01-09",'
        '"schema":"ohlcv-1h","split_duration":"month","start":"2025-01-06",'
        '"stype_in":"continuous","symbols":["ZL.v.0"]}'
    )
    assert REQUEST.request_id == hashlib.sha256(text.encode()).hexdigest()[:12]


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "XNAS.ITCH"}, {"schema": "ohlcv-1m"}, {"symbols": ("ZL.v.0", "ZL.v.1")},
        {"stype_in": "raw_symbol"}, {"start": dt.date(2025, 1, 5)}, {"end": dt.date(2025, 1, 10)},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_request_id_and_plan_hash_change_with_the_identity(change: dict[str, Any]) -> None:
    other = replace(REQUEST, **change)
    assert other.request_id != REQUEST.request_id
    assert plan(other).plan_hash != plan(REQUEST).plan_hash


@pytest.mark.parametrize(
    "change",
    [{"cost_usd": 0.01}, {"records": 1}, {"bytes": 1}, {"basis": "estimated"}, {"why": "else"}],
    ids=lambda change: next(iter(change)),
)
def test_plan_hash_alone_changes_with_a_figure(change: dict[str, Any]) -> None:
    other = replace(REQUEST, **change)
    assert other.request_id == REQUEST.request_id
    assert plan(other).plan_hash != plan(REQUEST).plan_hash
    assert plan(OTHER, other).plan_hash != plan(OTHER, REQUEST).plan_hash


def test_plan_hash_does_not_depend_on_the_day() -> None:
    later = plan(REQUEST, made_at=MADE + dt.timedelta(days=1), free_bytes=5)
    assert later.plan_hash == plan(REQUEST).plan_hash


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"symbols": ("ALL_SYMBOLS",)}, "ALL_SYMBOLS is not allowed"),
        ({"symbols": ("*",)}, "pattern"),
        ({"symbols": ()}, "at least 1 item"),
        ({"end": dt.date(2025, 1, 6)}, "no day between"),
        ({"schema": "trades"}, "ohlcv-1d"),
        ({"cost_usd": -1.0}, "greater than or equal to 0"),
        ({"cost_usd": float("nan")}, "finite"),
        ({"encoding": "csv"}, "dbn"),
    ],
    ids=["all symbols", "wildcard", "no symbol", "no day", "schema", "cost", "nan", "encoding"],
)
def test_request_rejects_invalid_fields(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        replace(REQUEST, **change)


def test_plan_rejects_a_repeated_request() -> None:
    with pytest.raises(ValidationError, match="two requests are the same"):
        plan(REQUEST, replace(REQUEST, why="again"))


def test_totals_are_none_if_one_figure_is() -> None:
    both = plan(REQUEST, OTHER)
    assert (both.cost_usd, both.records, both.bytes, both.basis) == (0.05, 114, 6_384, "quoted")
    part = plan(REQUEST, replace(OTHER, cost_usd=None, records=None, bytes=None, basis="estimated"))
    assert (part.cost_usd, part.records, part.bytes) == (None, None, None)
    assert part.basis == "estimated"


def test_a_saved_plan_loads_unchanged(tmp_path: Path) -> None:
    saved = plan(REQUEST, OTHER, free_bytes=7)
    saved.save(tmp_path / "plans" / "p.json")
    assert Plan.load(tmp_path / "plans" / "p.json") == saved
    assert [p.name for p in (tmp_path / "plans").iterdir()] == ["p.json"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"ZL.v.0"', '"ZL.FUT"'), ('"cost_usd": 0.02', '"cost_usd": 0.01'),
        ('"2025-01-09"', '"2025-02-09"'), ('"quoted"', '"estimated"'),
        (REQUEST.request_id, "0" * 12), ('"plan_hash": "', '"plan_hash": "0'),
    ],
    ids=["symbol", "cost", "end", "basis", "request_id", "plan_hash"],
)  # fmt: skip
def test_load_raises_for_a_plan_edited_by_hand(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "p.json"
    plan(REQUEST).save(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UsageError, match=f"{path}: edited since it was made") as error:
        Plan.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not a plan"), ("[]", "not a plan"), ("{}", "not a plan"), ("[" * 100_000, "not a"),
        (json.dumps({"plan_hash": "x", "requests": []}), "not a plan: made_at"),
    ],
    ids=["no JSON", "list", "empty", "deep", "keys missing"],
)  # fmt: skip
def test_load_raises_one_line_for_a_file_that_is_not_a_plan(
    tmp_path: Path, content: str, reason: str
) -> None:
    path = tmp_path / "p.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=reason) as error:
        Plan.load(path)
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="No such file"):
        Plan.load(tmp_path / "none.json")
