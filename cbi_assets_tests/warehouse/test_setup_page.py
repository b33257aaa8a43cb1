"""The setup page names what the code needs."""

from __future__ import annotations

import re
from pathlib import Path

from cbi_assets.warehouse.bigquery.bigquery_access import DATASETS

PAGE = Path(__file__).parents[2] / "docs" / "bigquery.md"


def test_setup_page_creates_and_grants_every_dataset() -> None:
    text = PAGE.read_text()
    (loop,) = re.findall(r"^for dataset in (.+); do$", text, re.MULTILINE)
    assert sorted(loop.split()) == sorted(DATASETS)
    (sentence,) = re.findall(r"Grant `bigquery.dataEditor` on (.+?)\. Either", text, re.DOTALL)
    assert sorted(re.findall(r"`(\w+)`", sentence)) == sorted(DATASETS)
