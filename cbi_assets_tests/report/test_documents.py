"""The documents as documents: accessible, self-contained, and no markup from the data."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from cbi_assets.build.build import build
from cbi_assets.config.settings import Settings
from cbi_assets.demo.run import LAST, make_drive
from cbi_assets.demo.run import NOW as DEMO_NOW
from cbi_assets.formatting import level, percent, price, size, span
from cbi_assets.report import take_audit, write_audit
from cbi_assets.report.compose import compose
from cbi_assets.report.facts import Audit, Month
from cbi_assets.report.figures import SHARES, coverage_figure, price_figure
from cbi_assets.report.html import write_html
from cbi_assets.report.judgements import Decision
from cbi_assets.report.markdown import write_markdown
from cbi_assets.session import Project, open_session
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.helpers import load_once
from cbi_assets_tests.report.reading import html_tables, markdown_tables, read_html

EVIL = '<script>alert(1)</script> | *x* `y` & "z" [a](b)'


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """The audit of a demo's drive, loaded and built: ZL and MES with matrix rows."""
    root = tmp_path_factory.mktemp("demo")
    make_drive(root / "drive")
    project = Project(
        Settings(_env_file=None, cbi_home=root / "home", cbi_drive=root / "drive")  # type: ignore[call-arg]
    )
    project.home.create()
    project.home.demo_mark.touch()
    load_once(project, now=DEMO_NOW)
    with open_session(project, now=DEMO_NOW) as session:
        build(session)
        return take_audit(session)


@pytest.fixture(scope="module")
def html(demo: Audit) -> str:
    return write_html(compose(demo))


def test_the_page_fetches_and_runs_nothing(html: str) -> None:
    root = read_html(html)
    tags = {node.tag for node in root.every()}
    assert not tags & {"script", "link", "img", "iframe", "object", "image", "use"}
    for node in root.every():
        for name, value in node.attributes.items():
            assert not name.startswith("on")
            assert name not in ("href", "src", "xlink:href") or value.startswith("#")
    addresses = set(re.findall(r"https?://[\w./]+", html))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert "@import" not in html
    assert "url(" not in re.sub(r"url\(#", "", html)


def test_it_can_be_read_without_eyes_or_mouse(html: str) -> None:
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
        if node.attributes.get("class") == "wide":
            # what scrolls can be reached by keyboard, and says what it is
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
    marks = {node.text() for node in root.all("span") if node.attributes["class"] == "mark"}
    assert marks <= {"Yes", "No", "Open"}


def test_it_has_light_and_dark_and_no_colour_beside_the_style_sheet(html: str) -> None:
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    light, dark = re.split(r"@media \(prefers-color-scheme: dark\)", html.partition("</style>")[0])
    names = set(re.findall(r"(--\w+): #", light))
    assert names == set(re.findall(r"(--\w+): #", dark))
    pictures = "".join(re.findall(r"<svg.*?</svg>", html, re.S))
    assert set(re.findall(r"var\((--\w+)\)", pictures)) <= names
    assert not re.findall(r'(?:fill|stroke)="(?!none|var|transparent)([^"]*)"', pictures)


def test_the_pictures_of_the_demo(demo: Audit, html: str) -> None:
    titles = [node.text() for node in read_html(html).all("h3")]
    wanted = [
        "Coverage of 1h bars, root by month",
        "From files to tables: what became of every record",
        "Load history",
        "Checks over time",
        "ZL, Soybean Oil: rolls, pivots, Fibonacci",
        "MES, Micro E-mini S&P 500: rolls, pivots, Fibonacci and golden zone",
    ]
    assert [title for title in wanted if title not in titles] == []
    zl, mes = demo.charts
    assert (zl.root, mes.root) == ("ZL", "MES")
    assert zl.sessions[-1].date == LAST
    assert set(mes.golden_zone) >= {"fib_50", "fib_618"}
    marks = {_mark(layer["mark"]) for layer in price_figure(mes)["layer"]}
    assert marks == {"rect", "rule", "text", "line"}
    assert _mark(price_figure(zl)["layer"][0]["mark"]) != "rect"


def test_the_pivots_on_the_page_are_those_of_the_session_before(demo: Audit) -> None:
    zl = demo.charts[0]
    before = zl.sessions[-2]
    assert before.high is not None
    assert before.low is not None
    assert before.close is not None
    expected = (before.high + before.low + before.close) / 3
    assert zl.pivots["P"] == pytest.approx(expected, rel=1e-12)


def test_what_the_data_say_is_never_markup(demo: Audit) -> None:
    evil = replace(demo, decisions=(Decision("file", EVIL, 1, EVIL),), home=EVIL)
    page = compose(evil)
    text = write_html(page)
    assert "<script" not in text
    (row,) = html_tables(read_html(text))["What waits for a person"]
    assert (row["what"], row["command"]) == (EVIL, EVIL)
    markdown = write_markdown(page)
    (line,) = [line for line in markdown.splitlines() if line.startswith("| file |")]
    assert re.search(r"(?<!\\)<", line) is None
    assert len(re.findall(r"(?<!\\)\|", line)) == 5
    assert markdown_tables(markdown)["What waits for a person"][0]["what"] == EVIL


def test_coverage_takes_months_of_one_share_together() -> None:
    def month(number: int, held: int) -> Month:
        return Month("ZL", "1h", dt.date(2025, number, 1), held, 20)

    figure = coverage_figure([month(1, 20), month(2, 20), month(3, 0), month(4, 9)], "1h")
    cells = [(c["from"][:10], c["to"][:10], c["share"]) for c in figure["data"]["values"]]
    assert cells == [
        ("2025-01-01", "2025-03-01", "all trade dates"),
        ("2025-03-01", "2025-04-01", "no trade date"),
        ("2025-04-01", "2025-05-01", "some"),
    ]
    half = coverage_figure([month(1, 10), month(2, 19)], "1h")["data"]["values"]
    assert [cell["share"] for cell in half] == [SHARES[2]]


def test_months_are_counted_against_the_exchange(demo: Audit) -> None:
    # January 2026 from the 2nd has 21 weekdays, 20 without King's day; the demo starts on the 5th
    (january,) = [
        m for m in demo.months
        if (m.root, m.timeframe, m.month) == ("ZL", "1h", dt.date(2026, 1, 1))
    ]  # fmt: skip
    assert (january.held, january.possible) == (19, 20)


def test_the_same_audit_writes_the_same_bytes(
    demo: Audit, tmp_path: Path, make_project: MakeProject
) -> None:
    texts = []
    for name in ("one", "two"):
        written = write_audit(make_project(name).home, demo, tmp_path / f"out-{name}")
        texts.append([path.read_bytes() for path in (written.markdown, written.html, written.json)])
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (percent(0, 0), "–"),
        (percent(0, 1000), "0%"),
        (percent(1, 1000), "1%"),
        (percent(999, 1000), "99%"),
        (percent(1000, 1000), "100%"),
        (level("retrace_236"), "23.6%"),
        (level("fib_618"), "61.8%"),
        (level("retrace_50"), "50%"),
        (level("swing_high"), "swing high"),
        (level("P"), "P"),
        (price(5617.083333333333), "5,617.083333"),
        (price(48.0), "48"),
        (price(100.0), "100"),
        (price(None), "unknown"),
        (size(999), "999 bytes"),
        (size(5_200_000), "5.2 MB"),
        (span(dt.date(2025, 1, 2), dt.date(2025, 1, 2)), "2025-01-02"),
        (span(None, None), ""),
    ],
)
def test_words(told: str, expected: str) -> None:
    assert told == expected


def _mark(mark: object) -> str:
    return str(mark["type"]) if isinstance(mark, dict) else str(mark)
