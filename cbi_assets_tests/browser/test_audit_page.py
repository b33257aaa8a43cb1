"""The audit's page in a browser: on its own, on a phone, by keyboard, light and dark."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from cbi_assets.config.settings import Settings
from cbi_assets.report.take_audit import take_audit
from cbi_assets.report.write import write_audit
from cbi_assets.session import Project, open_session
from cbi_assets_tests.helpers import NOW, made_once
from cbi_assets_tests.report.test_audit import load_all, put_problems

PHONE, DESK = 390, 1440
WIDTHS = (DESK, 1024, PHONE)
WIDE = """[...document.querySelectorAll('.table, pre')]
  .filter(box => box.scrollWidth > box.clientWidth + 1)
  .map(box => box.getAttribute('aria-labelledby') + box.textContent.slice(0, 60))"""
"""Tables and queries that are wider than their place."""

CUT = """(() => {
  const walker = document.createTreeWalker(document.querySelector('body'), NodeFilter.SHOW_TEXT);
  const range = document.createRange(), cut = [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.parentElement.closest('script, style, svg')) continue;
    for (const word of node.data.matchAll(/[\\p{L}\\p{N}]+/gu)) {
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const boxes = [...range.getClientRects()].filter(box => box.width);
      const tops = boxes.map(box => Math.round(box.top));
      if (new Set(tops).size > 1) cut.push(word[0]);
    }
  }
  return cut;
})()"""
"""Words that are on more than one line."""

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def demo(demo: Path) -> Path:
    """The page of the demo, where every plot has data."""
    [page] = demo.glob("home/**/*.html")
    return page


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a drive with each kind of problem: verdicts, decisions, failed checks."""

    def make(root: Path) -> None:
        put_problems(root / "drive")
        project = make_project(root)
        load_all(project)
        write_page(project, NOW)

    [page] = made_once(tmp_path_factory, "troubled-page", make).glob("home/**/*.html")
    return page


@pytest.fixture(params=["demo", "troubled"])
def audit(request: pytest.FixtureRequest) -> Path:
    """Each of the two pages."""
    page: Path = request.getfixturevalue(request.param)
    return page


def make_project(root: Path) -> Project:
    settings = Settings(_env_file=None, cbi_home=root / "home", cbi_drive=root / "drive")  # type: ignore[call-arg]
    project = Project(settings)
    project.home.create()
    return project


def write_page(project: Project, now: dt.datetime) -> None:
    with open_session(project, now=now) as session:
        found = take_audit(session)
    write_audit(project.home, found, None)


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """A function that opens an audit's page in a window `width` pixels wide."""
    opened: list[Page] = []

    def open_it(audit: Path, width: int = DESK, scheme: Literal["light", "dark"] = "light") -> Page:
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        opened.append(page)
        page.goto(audit.as_uri())
        return page

    yield open_it
    for page in opened:
        page.close()


def test_page_makes_no_request_and_logs_nothing(browser: Browser, audit: Path) -> None:
    requests, messages = [], []
    with browser.new_page() as page:
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(audit.as_uri(), wait_until="networkidle")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert requests == [audit.as_uri()]
    assert messages == []


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (PHONE, "dark"),
        pytest.param(DESK, "light", marks=pytest.mark.full),
        pytest.param(PHONE, "light", marks=pytest.mark.full),
        pytest.param(DESK, "dark", marks=pytest.mark.full),
    ],
)
def test_page_has_no_axe_violation(
    open_page: OpenPage, audit: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    found = Axe().run(open_page(audit, width, scheme))
    assert found.violations_count == 0, found.generate_report()


def test_page_is_dark_in_dark_scheme(open_page: OpenPage, demo: Path) -> None:
    def lightness(page: Page) -> float:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        shares = [float(part) for part in colour.strip("rgba()").split(",")[:3]]
        return sum(shares) / (3 * 255)

    assert lightness(open_page(demo, scheme="light")) > 0.8
    assert lightness(open_page(demo, scheme="dark")) < 0.2


@pytest.mark.parametrize("width", WIDTHS)
def test_page_shows_every_word_and_column_at_each_width(
    open_page: OpenPage, audit: Path, width: int
) -> None:
    """Folded, a phone's page is short; unfolded, no table scrolls sideways or breaks a word."""
    page = open_page(audit, width)
    assert page.evaluate("document.documentElement.scrollHeight") <= 12_000
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(WIDE) == []
    assert page.evaluate(CUT) == []


def test_search_shows_the_rows_with_every_word_and_restores_the_folds(
    open_page: OpenPage, demo: Path
) -> None:
    page = open_page(demo)
    page.get_by_label("Search").fill("golden_zone fib_618")
    expect(page.locator("#found")).to_have_text("2 found in 1 section")
    names = page.locator("#columns tbody tr:visible th").all_inner_texts()
    assert names == ["golden_zone.state", "golden_zone.fib_618"]
    page.get_by_label("Search").press("Escape")
    expect(page.locator("#found")).to_be_empty()
    assert page.locator("#columns tbody tr:visible").count() == 0


def test_fold_is_remembered_after_a_reload(open_page: OpenPage, demo: Path) -> None:
    page = open_page(demo)
    page.locator("#warehouse summary").first.click()
    page.reload()
    expect(page.get_by_text("Tables with rows").first).to_be_visible()
    expect(page.get_by_text("The books, job by job").first).to_be_hidden()


def test_column_leads_to_its_source_and_back(open_page: OpenPage, demo: Path) -> None:
    page = open_page(demo)
    page.evaluate("location.hash = 'column-daily_ml_matrix.pivots'")
    pivots = page.locator("[id='column-daily_ml_matrix.pivots']")
    pivots.get_by_role("link", name="futures_sessions_1d.high").click()
    high = page.locator("[id='column-futures_sessions_1d.high']")
    expect(high).to_be_in_viewport()
    high.get_by_role("link", name="databento_futures_ohlcv_1h.high").click()
    expect(page.locator("[id='column-databento_futures_ohlcv_1h.high']")).to_be_in_viewport()
    page.go_back()
    expect(high).to_be_in_viewport()


def test_calendar_leads_from_a_month_to_its_days(open_page: OpenPage, demo: Path) -> None:
    page = open_page(demo)
    page.locator("#coverage summary").first.click()
    # January 2026 from the 5th, without King's day: 19 trade dates; the 2nd is missing
    page.get_by_role("button", name="2026-01: bars on 19 of").click()
    days = page.locator(".days div")
    assert days.count() == 31
    assert days.nth(1).inner_text().split() == ["2", "missing"]
    assert days.nth(2).inner_text().split() == ["3", "closed"]
    assert days.nth(4).inner_text().split()[-1] == "bars"


def test_price_chart_is_drawn_again_by_vega(open_page: OpenPage, demo: Path) -> None:
    page = open_page(demo, PHONE)
    page.locator("#trading summary").first.click()
    page.locator("#price-ZL-title").scroll_into_view_if_needed()
    live = page.locator("[aria-labelledby=price-ZL-title].live")
    expect(live).to_be_visible(timeout=15_000)
    assert live.evaluate("box => box.scrollWidth <= box.clientWidth")


def test_plot_labels_are_not_cut_off(open_page: OpenPage, audit: Path) -> None:
    """A plot's labels are inside it, even in a font wider than the one it was drawn with."""
    page = open_page(audit)
    cut = page.evaluate(
        "[...document.querySelectorAll('svg')].flatMap(svg => {"
        " const frame = svg.getBoundingClientRect();"
        " return [...svg.querySelectorAll('text')].filter(text => {"
        "  const box = text.getBoundingClientRect();"
        "  return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1"
        "   || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)"
        " }).map(text => text.textContent) })"
    )
    assert cut == []


def test_text_is_large_enough_on_a_phone(open_page: OpenPage, audit: Path) -> None:
    page = open_page(audit, PHONE)
    sizes = page.evaluate(
        "[...document.querySelectorAll('p, td, th, li, dd, pre')]"
        ".map(node => parseFloat(getComputedStyle(node).fontSize))"
    )
    assert min(sizes) >= 12


def test_keyboard_reaches_everything_that_scrolls(open_page: OpenPage, audit: Path) -> None:
    page = open_page(audit, PHONE)
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    expect(focused).to_have_text("Skip to the audit")
    expect(focused).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    unreachable = page.evaluate(
        "[...document.querySelectorAll('body *')].filter(node =>"
        " node.scrollWidth > node.clientWidth + 1"
        " && ['auto', 'scroll'].includes(getComputedStyle(node).overflowX)"
        " && node.tabIndex < 0).map(node => node.outerHTML.slice(0, 80))"
    )
    assert unreachable == []


def test_section_link_scrolls_to_its_section(open_page: OpenPage, audit: Path) -> None:
    page = open_page(audit)
    links = page.get_by_role("navigation", name="Sections").get_by_role("link")
    assert links.count() > 5
    last = links.last
    name = last.locator("span").first.inner_text()
    last.click()
    expect(page.get_by_role("heading", level=2, name=name, exact=True)).to_be_in_viewport()


def test_page_shows_the_verdicts_of_the_json(open_page: OpenPage, troubled: Path) -> None:
    document = json.loads(troubled.with_suffix(".json").read_text())
    page = open_page(troubled)
    expect(page.get_by_text("FAIL: 1 check result failed")).to_be_visible()
    page.get_by_role("button", name="Unfold all").click()
    troubles = read_table(page, "Files with problems")
    assert [row["problem"] for row in troubles] == [
        t["kind"] for t in document["drive"]["troubles"]
    ]
    assert {row["problem"] for row in troubles} == {"missing", "misnamed", "refused"}
    (blocked,) = [f for f in document["staging"] if f["verdict"] == "blocked"]
    staging = read_table(page, "Staging files and the sources in them")
    assert [r["file"] for r in staging if r["verdict"] == "blocked"] == [blocked["path"]]
    waiting = read_table(page, "Needs action")
    assert [row["kind"] for row in waiting] == [d["kind"] for d in document["decisions"]]
    expect(page.get_by_text(document["next_step"]["command"]).first).to_be_visible()


def read_table(page: Page, caption: str) -> list[dict[str, str]]:
    """Return a table as assistive technology reads it: by name, headers and cells."""
    table = page.get_by_role("table", name=caption)
    columns = table.get_by_role("columnheader").all_inner_texts()
    rows = table.get_by_role("row").filter(has=page.get_by_role("rowheader"))
    return [
        dict(zip(columns, row.locator("th, td").all_inner_texts(), strict=True))
        for row in rows.all()
    ]
