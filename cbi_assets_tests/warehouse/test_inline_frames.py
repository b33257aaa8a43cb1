"""A small frame goes to BigQuery as a parameter; one that a parameter cannot carry does not."""

from __future__ import annotations

import math

import polars as pl
import pytest

from cbi_assets.warehouse.base import Statement
from cbi_assets.warehouse.bigquery.inline_frames import MOST_ROWS, InlineFrames
from cbi_assets.warehouse.bigquery.script import query_parameters, transaction_script

TODO = pl.DataFrame({"root": ["ZL", None], "records": [2, 3]})


def test_statement_reads_a_small_frame_from_its_parameter() -> None:
    frames = InlineFrames()
    staged = frames.add("todo_1m", TODO)
    sql, params = frames.expand(
        f"SELECT n.root FROM `{staged}` AS n WHERE n.records > @n", {"n": 2}
    )
    rows = "(SELECT item.`root`, item.`records` FROM UNNEST(@frame_todo_1m) AS item)"
    assert sql == f"SELECT n.root FROM {rows} AS n WHERE n.records > @n"
    given = {param.name: param for param in query_parameters(sql, params)}
    assert given.keys() == {"n", "frame_todo_1m"}
    sent = given["frame_todo_1m"].to_api_repr()
    types = sent["parameterType"]["arrayType"]["structTypes"]
    assert [(each["name"], each["type"]["type"]) for each in types] == [
        ("root", "STRING"),
        ("records", "INT64"),
    ]
    values = [each["structValues"] for each in sent["parameterValue"]["arrayValues"]]
    assert [(each["root"]["value"], each["records"]["value"]) for each in values] == [
        ("ZL", "2"),
        (None, "3"),
    ]


def test_transaction_sends_a_frame_once_as_it_was_staged_last() -> None:
    frames = InlineFrames()
    frames.add("todo", TODO)
    staged = frames.add("todo", TODO.head(1))
    sql, params = frames.expand(
        f"INSERT INTO `ops.x` (root) SELECT root FROM `{staged}` WHERE records > @n", {"n": 1}
    )
    script, found = transaction_script([Statement(sql, params)] * 2)
    assert script.count("UNNEST(@frame_todo)") == 2
    assert [param.name for param in found] == ["s0_n", "s1_n", "frame_todo"]
    assert len(found[-1].values) == 1


def test_frame_without_rows_needs_no_parameter() -> None:
    frames = InlineFrames()
    staged = frames.add("todo", TODO.clear())
    sql, params = frames.expand(f"SELECT root FROM `{staged}`", {})
    nulls = "CAST(NULL AS STRING) AS `root`, CAST(NULL AS INT64) AS `records`"
    assert sql == f"SELECT root FROM (SELECT {nulls} FROM (SELECT 1) WHERE FALSE)"
    assert params == {}


@pytest.mark.parametrize(("characters", "fits"), [(65_000, True), (65_536, False)])
def test_frame_is_a_parameter_up_to_64_kib_of_json(characters: int, fits: bool) -> None:
    staged = InlineFrames().add("text", pl.DataFrame({"text": ["x" * characters]}))
    assert (staged is not None) == fits


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"n": range(MOST_ROWS + 1)}),
        pl.DataFrame({"price": [1.5, math.nan]}),
        pl.DataFrame({"price": [math.inf, None]}),
        pl.DataFrame({"loads": [["a", "b"]]}),
        pl.DataFrame(),
    ],
    ids=["many rows", "NaN", "infinity", "a list", "no column"],
)
def test_other_frames_are_staged_as_tables(frame: pl.DataFrame) -> None:
    assert InlineFrames().add("frame", frame) is None
