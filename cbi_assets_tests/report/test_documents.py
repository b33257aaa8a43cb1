"""The documents are accessible and self-contained, and contain no markup from the data."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from cbi_assets.config.settings import Settings
from cbi_assets.demo.run import LAST
from cbi_assets.demo.run import NOW as DEMO_NOW
from cbi_assets.report.audit_model import Audit, Decision
from cbi_assets.report.charted_roots import level
from cbi_assets.report.compose import compose
from cbi_assets.report.figures import SHARES, coverage_figure, price_figure
from cbi_assets.report.html import write_html
from cbi_assets.report.markdown import write_markdown
from cbi_assets.report.take_audit import take_audit
from cbi_assets.report.write import write_audit
from cbi_assets.session import Project, open_session
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.report.read_documents import html_tables, markdown_tables, read_html

EVIL = '<script>alert(1)</script> | *x* `y` & "z" [a](b)'


@pytest.fixture(scope="module")
def demo(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """The audit of the demo: ZL and MES have matrix rows."""
    root = shutil.copytree(demo, tmp_path_factory.mktemp("demo") / "copy")
    settings = Settings(_env_file=None, cbi_home=root / "home", cbi_drive=root / "drive")  # type: ignore[call-arg]
    with open_session(Project(settings), now=DEMO_NOW) as session:
        return take_audit(session)


@pytest.fixture(scope="module")
def html(demo: Audit) -> str:
    return write_html(compose(demo))


def test_page_fetches_nothing_and_runs_only_the_script_that_its_policy_names(html: str) -> None:
    root = read_html(html)
    tags = {node.tag for node in root.every()}
    assert not tags & {"link", "img", "iframe", "object", "image", "use"}
    data = [node for node in root.all("script") if node.attributes.get("type")]
    assert {node.attributes["type"] for node in data} == {"application/json"}
    (script,) = [node for node in root.all("script") if node not in data]
    (source,) = script.children
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    (policy,) = [n for n in root.all("meta") if "http-equiv" in n.attributes]
    assert policy.attributes["content"] == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}' blob:"
    )
    for node in root.every():
        for name, value in node.attributes.items():
            assert not name.startswith("on")
            assert name not in ("href", "src", "xlink:href") or value.startswith("#")
    addresses = set(re.findall(r"https?://[\w./]+", html))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert "@import" not in html
    assert "url(" not in re.sub(r"url\(#", "", html)


def test_page_is_accessible_by_screen_reader_and_keyboard(html: str) -> None:
    root = read_html(html)
    (document,) = root.all("html")
    assert document.attributes["lang"] == "en"
    for tag in ("header", "nav", "main", "footer", "h1"):
        assert len(root.all(tag)) == 1, tag
    ids = [node.attributes["id"] for node in root.every() if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    for node in root.every():
        for name in ("aria-labelledby", "aria-describedby"):
            assert set(node.attributes.get(name, "").split()) <= set(ids)
        if node.attributes.get("href", "").startswith("#"):
            assert node.attributes["href"][1:] in ids
        if node.attributes.get("class") in ("table", "plot"):
            # scrolling boxes are reachable by keyboard, and named
            assert node.attributes["tabindex"] == "0"
            assert node.attributes["aria-labelledby"] in ids
    levels = [int(n.tag[1]) for n in root.every() if re.fullmatch("h[1-6]", n.tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for table in root.all("table"):
        assert table.all("caption")[0].text()
        assert all(cell.attributes["scope"] in ("col", "row") for cell in table.all("th"))
    for picture in root.all("svg"):
        assert picture.attributes["role"] == "img"
        assert picture.attributes["aria-labelledby"]
        assert not any("role" in node.attributes for node in picture.every())
    marks = {node.text() for node in root.all("span") if node.attributes.get("class") == "mark"}
    assert marks <= {"Yes", "No", "Open"}


def test_page_takes_every_color_from_its_light_or_dark_scheme(html: str) -> None:
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    light, dark = re.split(r"@media \(prefers-color-scheme: dark\)", html.partition("</style>")[0])
    names = set(re.findall(r"(--\w+): #", light))
    assert names == set(re.findall(r"(--\w+): #", dark))
    plots = "".join(re.findall(r"<svg.*?</svg>", html, re.S))
    assert set(re.findall(r"var\((--\w+)\)", plots)) <= names
    assert not re.findall(r'(?:fill|stroke)="(?!none|var|transparent)([^"]*)"', plots)


def test_demo_page_has_every_plot(demo: Audit, html: str) -> None:
    titles = [node.text() for node in read_html(html).all("h3")]
    wanted = [
        "Coverage of 1h bars, root by month",
        "From files to tables: the outcome of every record",
        "Load history",
        "Checks over time",
        "ZL, Soybean Oil: rolls, pivots, Fibonacci",
        "MES, Micro E-mini S&P 500: rolls, pivots, Fibonacci and golden zone",
    ]
    assert [title for title in wanted if title not in titles] == []
    zl, mes = demo.charts
    assert (zl.root, mes.root) == ("ZL", "MES")
    assert zl.sessions["date"][-1] == LAST
    assert set(mes.golden_zone) >= {"fib_50", "fib_618"}
    prices, volume = price_figure(mes)["vconcat"]
    assert [layer["mark"]["type"] for layer in prices["layer"]] == [
        "rect",  # the golden zone
        "rule",  # levels, and their names
        "text",
        "rule",  # rolls
        "rule",  # high to low
        "bar",  # open to close
        "line",  # pivots
        "rule",  # invisible, for the tooltip
    ]
    assert (
        volume["params"][0]["name"]
        == prices["layer"][3]["encoding"]["x"]["scale"]["domain"]["param"]
    )
    assert price_figure(zl)["vconcat"][0]["layer"][0]["mark"]["type"] != "rect"


def test_charted_pivots_are_those_of_the_previous_session(demo: Audit) -> None:
    zl = demo.charts[0]
    before = zl.sessions.row(-2, named=True)
    expected = (before["high"] + before["low"] + before["close"]) / 3
    assert zl.pivots["P"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.full
def test_text_from_the_data_is_never_markup(demo: Audit) -> None:
    evil = replace(demo, decisions=(Decision("file", EVIL, 1, EVIL),), home=EVIL)
    page = compose(evil)
    text = write_html(page)
    assert "<script>alert" not in text
    (row,) = html_tables(read_html(text))["Needs action"]
    assert (row["what"], row["command"]) == (EVIL, EVIL)
    markdown = write_markdown(page)
    (line,) = [
        line for line in markdown.splitlines() if line.startswith("| file |") and "alert" in line
    ]
    assert re.search(r"(?<!\\)<", line) is None
    assert len(re.findall(r"(?<!\\)\|", line)) == 5
    assert markdown_tables(markdown)["Needs action"][0]["what"] == EVIL


def test_coverage_merges_consecutive_months_of_one_share() -> None:
    def months(*held: int) -> pl.DataFrame:
        """Months of ZL from January 2025 with 20 trade dates each, `held` of which have a bar."""
        dates = [dt.date(2025, number, 1) for number in range(1, len(held) + 1)]
        return pl.DataFrame({"root": "ZL", "month": dates, "held": held, "possible": 20})

    figure = coverage_figure(months(20, 20, 0, 9))
    cells = [(c["from"][:10], c["to"][:10], c["share"]) for c in figure["data"]["values"]]
    assert cells == [
        ("2025-01-01", "2025-03-01", "all trade dates"),
        ("2025-03-01", "2025-04-01", "no trade date"),
        ("2025-04-01", "2025-05-01", "some"),
    ]
    half = coverage_figure(months(10, 19))["data"]["values"]
    assert [cell["share"] for cell in half] == [SHARES[2]]


def test_months_count_the_exchange_trade_dates(demo: Audit) -> None:
    # January 2026 from the 2nd has 21 weekdays, 20 without King's day; the demo starts on the 5th
    january = demo.months.filter(root="ZL", timeframe="1h", month=dt.date(2026, 1, 1))
    assert january.select("held", "possible").rows() == [(19, 20)]


@pytest.mark.full
def test_same_audit_writes_identical_documents(
    demo: Audit, tmp_path: Path, make_project: MakeProject
) -> None:
    texts = []
    for name in ("one", "two"):
        written = write_audit(make_project(name).home, demo, tmp_path / f"out-{name}")
        texts.append([path.read_bytes() for path in (written.markdown, written.html, written.json)])
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("retrace_236", "23.6%"),
        ("fib_618", "61.8%"),
        ("retrace_50", "50%"),
        ("swing_high", "swing high"),
        ("P", "P"),
    ],
)
def test_level_is_named_for_people(name: str, expected: str) -> None:
    assert level(name) == expected
