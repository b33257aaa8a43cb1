"""Progress on a terminal of 80 columns: how far, how fast, and how much time remains."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable

import pytest
from rich.console import Console
from rich.progress import Progress

from cbi_assets.cli import progress as progress_module
from cbi_assets.cli.progress import WorkProgress, columns
from cbi_assets.counted_steps import PROGRESS, Steps, log_steps
from cbi_assets.tables import RAW, TRAINING

logger = logging.getLogger("cbi_assets.test_progress")


class Clock:
    """A clock that a test advances, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> tuple[WorkProgress, Callable[[], str]]:
    """A command's bar, and a function that returns what a terminal shows of it."""
    terminal = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(progress_module, "console", terminal)
    bar = Progress(*columns(), console=terminal, auto_refresh=False, disable=True, get_time=clock)

    def shown() -> str:
        with terminal.capture() as capture:
            terminal.print(bar.get_renderable())
        return capture.get().rstrip("\n")

    return WorkProgress(bar, lambda: None), shown


def test_loop_shows_count_rate_and_remaining_time(
    work: tuple[WorkProgress, Callable[[], str]], clock: Clock
) -> None:
    bar, shown = work
    steps = Steps(total=4)
    bar.step("checking a", steps)
    clock.now = 3.0
    assert shown().split() == ["checking", "a", "0/4", "0:00:03"]
    for title, seconds in (("checking b", 5.0), ("checking c", 10.0)):
        clock.now, steps.done = seconds, steps.done + 1
        bar.step(title, steps)
    # one step in 5 s: two more take 10
    assert shown().startswith("checking c ")
    assert shown().endswith("2/4 0.2/s 0:00:10 left")


def test_bytes_show_rate_and_remaining_time(
    work: tuple[WorkProgress, Callable[[], str]], clock: Clock
) -> None:
    bar, shown = work
    bar.start(3, 5_000_000)
    clock.now = 2.0
    bar.advance("a", 1_000_000)  # 0.5 MB/s: 4 MB take 8 s
    assert shown().startswith("reading 3 new files ")
    assert shown().endswith("1.0 MB 500.0 kB/s 0:00:08 left")


def test_large_total_is_shown_in_percent(
    work: tuple[WorkProgress, Callable[[], str]], clock: Clock
) -> None:
    bar, shown = work
    steps = Steps(total=22_500_000)
    bar.step("auditing 4,500,000 records of 1d", steps)
    clock.now, steps.done = 3.0, 4_500_000
    bar.step("auditing 18,000,000 records of 1m", steps)
    assert shown().endswith(" 20% 1,500,000/s 0:00:12 left")
    assert len(shown()) <= 80


def test_loop_inside_an_unfinished_loop_changes_only_the_title(
    work: tuple[WorkProgress, Callable[[], str]],
) -> None:
    bar, shown = work
    outer, inner = Steps(total=3), Steps(total=9)
    bar.step("checking 1h", outer)
    outer.done = 1
    bar.step("checking 1m", outer)
    bar.step("checking gaps", inner)
    assert shown().startswith("checking gaps ")
    assert " 1/3 " in shown()
    outer.done = 3
    bar.step("recording", Steps(total=5))
    assert shown().startswith("recording ")
    assert " 0/5 " in shown()


@pytest.mark.parametrize("name", [*(spec.name for spec in RAW.values()), *TRAINING])
def test_bar_fits_into_80_columns_and_cuts_no_name(
    name: str, work: tuple[WorkProgress, Callable[[], str]], clock: Clock
) -> None:
    bar, shown = work
    steps = Steps(total=999)
    bar.step(f"checking {name}", steps)
    clock.now, steps.done = 1.0, 998
    bar.step(f"checking {name}", steps)
    assert shown().splitlines() == [shown()]
    assert name in shown().split()
    assert "998/999 998/s 0:00:01 left" in shown()


def test_log_steps_attaches_what_is_done_before_each_item(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = []
    with caplog.at_level(logging.DEBUG, logger=PROGRESS.name):
        for item in log_steps(["a", "bbb"], lambda item: f"reading {item}", weigh=len):
            (*_, record) = caplog.records
            steps = record.steps  # type: ignore[attr-defined]
            found.append((item, record.message, steps.done, steps.total))
    assert found == [("a", "reading a", 0, 4), ("bbb", "reading bbb", 1, 4)]
    assert steps.has_ended


def test_log_steps_ends_where_the_loop_is_left(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger=PROGRESS.name):
        for _ in log_steps(range(9), str):
            break
    assert caplog.records[-1].steps.has_ended  # type: ignore[attr-defined]


def test_log_steps_of_one_item_counts_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger=PROGRESS.name):
        assert [*log_steps(["a"], str)] == ["a"]
    assert [record.message for record in caplog.records] == ["a"]
    assert not hasattr(caplog.records[0], "steps")


def test_log_steps_logs_to_the_callers_logger_what_it_names(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in log_steps(["a", "b"], lambda item: f"reading {item}", logger=logger):
            pass
    assert [(r.name, r.message) for r in caplog.records] == [
        (logger.name, "reading a"),
        (logger.name, "reading b"),
    ]
