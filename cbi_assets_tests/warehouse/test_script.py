"""A statement's parameters are found where BigQuery finds them."""

from __future__ import annotations

import pytest

from cbi_assets.warehouse.base import Statement
from cbi_assets.warehouse.bigquery.script import query_parameters, transaction_script


@pytest.mark.parametrize(
    "text",
    [
        "'@a'",
        '"@a"',
        "'it\\'s @a'",
        '"a \\"quoted\\" @a"',
        '"it\'s @a"',
        "'''it's\n@a'''",
        '"""a "quoted"\n@a"""',
        "`@a`",
        "1 -- it's @a\n",
        "1 # @a\n",
        "1 /* it's\n@a */",
    ],
)
def test_transaction_renames_parameters_but_no_text_like_them(text: str) -> None:
    sql = f"SELECT {text}, @b"
    params = {"a": 1, "b": 2}
    assert [param.name for param in query_parameters(sql, params)] == ["b"]
    script, found = transaction_script([Statement(sql, params)])
    assert f"SELECT {text}, @s0_b" in script
    assert [(param.name, param.value) for param in found] == [("s0_b", 2)]
