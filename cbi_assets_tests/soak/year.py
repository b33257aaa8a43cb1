"""Mornings without a person: files arrive, and something goes wrong on every sixth of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Final

import pytest

from cbi_assets.databento_api.client import connect_from_settings
from cbi_assets.downloads.approvals import approve
from cbi_assets.downloads.execute import execute
from cbi_assets.downloads.planning import make_plan
from cbi_assets.downloads.standing import grant, spent_in_month
from cbi_assets.downloads.wanted import Scope
from cbi_assets.load.load import inventory
from cbi_assets.load.revisions import find_revision
from cbi_assets.pipeline.bigquery_resource import BigQuery
from cbi_assets.session import Project, exclusive_lock, open_session
from cbi_assets.verbs import accept_revision
from cbi_assets_tests.alerts.endpoint import Endpoint, run_endpoint
from cbi_assets_tests.databento_api.bars import BAR_BYTES, Wanted
from cbi_assets_tests.databento_api.server import run_vendor
from cbi_assets_tests.databento_api.vendor import Job, Vendor
from cbi_assets_tests.downloads import test_kill as download_kills
from cbi_assets_tests.load import test_kill as load_kills
from cbi_assets_tests.processes import Moment
from cbi_assets_tests.soak.daemon import Daemon, SmallProject, Trouble, open_daemon

START: Final = dt.date(2025, 1, 2)
NOON: Final = dt.time(12, tzinfo=dt.UTC)
BOUGHT, COPIED = "ZL", "MES"
DAY, MINUTE = dt.timedelta(days=1), dt.timedelta(minutes=1)

USD_PER_DAY = 19 * BAR_BYTES / 2**30 * 100_000
"""ZL's 19 hourly bars of a trade date at the vendor's price."""

PER_RUN, PER_MONTH = 12 * USD_PER_DAY, 20.5 * USD_PER_DAY
"""Less than the 21 to 23 trade dates of most months: the rest waits for the next month."""

LANDING = [
    m for m in load_kills.MOMENTS if m.what.startswith((load_kills.LANDING, load_kills.CATALOG))
]
LOADING = [m for m in load_kills.MOMENTS if m not in LANDING and load_kills.TERMINAL not in m.what]
BUYING = download_kills.MOMENTS
BUILDING = [
    Moment(f"{load_kills.DUCKDB}.transact", when, nth)
    for when in ("at statement 2", "at commit", "after")
    for nth in (1, 2)
]


@dataclass
class Year:
    """A home, its drive, its vendor and its daemon.

    `first` is the first day of bars, a month before the first morning. `expected` are texts that
    alerts must have.
    """

    project: Project
    drive: Path
    vendor: Vendor
    endpoint: Endpoint
    daemon: Daemon
    rng: Random
    first: dt.date
    expected: list[str] = field(default_factory=list)
    copied_to: dt.date = field(init=False)
    repairs: list[Callable[[], None]] = field(default_factory=list)
    """What the vendor, or a person, does before the next morning."""
    bought_by_person: set[str] = field(default_factory=set)
    _read: int = 0

    def __post_init__(self) -> None:
        self.copied_to = self.first

    @property
    def today(self) -> dt.date:
        return self.daemon.now.date()

    # --- arrivals

    def new_copy(self) -> Job | None:
        """Return a job of the days that were not copied yet; None if they have no bars."""
        first, self.copied_to = self.copied_to, self.today
        wanted = Wanted(
            "GLBX.MDP3", "ohlcv-1h", (f"{COPIED}.v.0",), "continuous", first, self.today
        )
        job = self.vendor.add_job(wanted)
        has_bars = any(name.endswith(".zst") for name in job.files)
        return job if has_bars else None

    def copy(self, job: Job | None = None, change: Callable[[bytes], bytes] = bytes) -> list[Path]:
        """Copy a job to the drive, its bars changed, and return the paths of the bars."""
        job = job or self.new_copy()
        if job is None:
            return []
        folder = self.drive / "copied" / job.id
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, data in job.files.items():
            if name.endswith(".zst"):
                paths.append(folder / name)
                data = change(data)
            (folder / name).write_bytes(data)
        return paths

    # --- mornings

    def morning(
        self, trouble: Callable[[Year], None] | None = None, *, is_quick: bool = False
    ) -> None:
        """Pass a day: what was to be repaired is, files arrive, and all is loaded and built.

        If `is_quick`, the daemon calls what its runs would call; so it does without a trouble on
        all days but every second Friday.
        """
        for repair in self.repairs:
            repair()
        self.repairs.clear()
        if trouble is None:
            self.daemon.is_quick = self.today.toordinal() % 14 != 5
            is_late = self.today - self.copied_to > 3 * DAY
            if is_late or self.rng.random() < 0.7:  # else a burst on a later day
                self.copy()
            if self.rng.random() < 0.6:
                self.daemon.buy()
            self.daemon.load()
            if self.today.day % 3 == 0 or not self.daemon.is_quick:
                self.daemon.build(training=self.today.day <= 14)
        else:
            self.daemon.is_quick = is_quick
            trouble(self)
            self.settle()
        self.daemon.is_quick = False
        self.daemon.alert()
        self.read_alerts()
        self.assert_ceiling()
        self.daemon.now = dt.datetime.combine(self.today + DAY, NOON)
        while self.daemon.now.weekday() >= 5:
            self.daemon.now += DAY

    def settle(self) -> None:
        """Let the daemon find what died, and try again when that is due."""
        for pause in (6, 61):
            self.daemon.now += pause * MINUTE
            self.daemon.end_dead_runs()
            self.daemon.buy()
            self.daemon.load()
        self.daemon.build()

    def read_alerts(self) -> None:
        """Read the new alerts as a person does, who takes the later version of bars in conflict."""
        texts = self.endpoint.texts[self._read :]
        self._read += len(texts)
        if any("ops.bar_conflicts" in text for text in texts):
            self.repairs.append(self.accept)

    def accept(self) -> None:
        """Take the vendor's later version of the days in conflict."""
        with open_session(self.project, now=self.daemon.now) as session:
            for job in list(self.vendor.jobs)[-30:]:
                revision = find_revision(session, inventory(session), job)
                if revision is not None:
                    accept_revision(session, revision, by="Ada", why="the vendor's later version")

    def spent(self) -> float:
        """Return what this month's top-ups cost at the vendor, in US dollars."""
        return sum(
            job.cost
            for job in self.vendor.jobs.values()
            if job.params
            and job.id not in self.bought_by_person
            and (job.received.year, job.received.month) == (self.today.year, self.today.month)
        )

    def assert_ceiling(self) -> None:
        """Assert that no more was bought this month than is counted, and no more than allowed."""
        with open_session(self.project, now=self.daemon.now) as session:
            assert self.spent() <= spent_in_month(session) + 1e-9
            assert spent_in_month(session) <= PER_MONTH

    # --- troubles

    def killed_tick(self) -> None:
        self.copy()
        self.daemon.look_at_drive()
        self.daemon.die_looking(Trouble(self.rng.choice(LANDING)))

    def killed_load(self) -> None:
        self.copy()
        self.daemon.load(Trouble(self.rng.choice(LOADING)))

    def killed_purchase(self) -> None:
        self.daemon.buy(Trouble(self.rng.choice(BUYING)))

    def killed_build(self) -> None:
        self.copy()
        self.daemon.load()
        self.daemon.build(Trouble(self.rng.choice(BUILDING)))

    def lost_answer(self) -> None:
        self.copy()
        self.daemon.look_at_drive()
        self.daemon.look_at_drive(lose_answer=True)

    def drive_goes_away(self) -> None:
        self.copy()
        self.daemon.look_at_drive()
        away = self.drive.rename(self.drive.with_name("away"))
        self.daemon.buy()
        assert self.daemon.look_at_drive() == []
        away.rename(self.drive)

    def notebook_holds_warehouse(self) -> None:
        self.copy()
        self.daemon.load(Trouble(notebook=True))

    def home_is_busy(self) -> None:
        self.copy()
        with exclusive_lock(self.project.home):
            assert self.daemon.load() == []

    def corrupt_file(self) -> None:
        job = self.new_copy()
        place = self.rng.randrange(50, 300)

        def flip(data: bytes) -> bytes:
            return (
                data[:place] + bytes([data[place] ^ 1 << self.rng.randrange(8)]) + data[place + 1 :]
            )

        self.expected += [path.name for path in self.copy(job, flip)]
        if job is not None:
            self.repairs.append(lambda: void(self.copy(job)))

    def copy_stops_halfway(self) -> None:
        job = self.new_copy()
        self.copy(job, lambda data: data[: len(data) // 2])
        for _ in range(self.rng.choice((1, 2))):  # after two ticks it is read as it is
            self.daemon.look_at_drive()
        self.copy(job)

    def full_disk(self) -> None:
        self.copy()
        limit = self.rng.choice((1 << 14, self.project.home.warehouse.stat().st_size))
        self.daemon.load(Trouble(file_limit=limit))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CBI_ALERT_FREE_GIB", str(2**30))
            self.daemon.alert()
        self.expected.append("CBI_HOME: less than 1,073,741,824.0 GiB free")

    def clock_is_behind(self) -> None:
        self.copy()
        self._at_another_time(-400 * DAY)

    def clock_is_ahead(self) -> None:
        self.copy()
        self._at_another_time(10 * 60 * MINUTE)

    def pending_day(self) -> None:
        """The vendor says that yesterday is not final yet, so it is not bought before it is."""
        yesterday = self.today - DAY
        self.vendor.conditions[yesterday] = ("pending", None)
        self.repairs.append(lambda: void(self.vendor.conditions.pop(yesterday)))
        self.copy()

    def pending_in_the_job(self) -> None:
        """Yesterday turns out to be pending once it is bought, and its prices change overnight."""
        yesterday = self.today - DAY
        self.vendor.knows_conditions = False
        self.vendor.conditions[yesterday] = ("pending", None)

        def revise() -> None:
            self.vendor.knows_conditions = True
            self.vendor.conditions[yesterday] = ("available", None)
            self.vendor.moves.setdefault(BOUGHT, {})[yesterday] = 2

        self.repairs.append(revise)

    def revised_day(self) -> None:
        """The vendor revises a day of last week, and a person buys it again."""
        days = [self.today - n * DAY for n in range(5, 12)]
        day = self.rng.choice([d for d in days if d.weekday() < 4])
        self.vendor.conditions[day] = ("available", str(self.today))
        clients = connect_from_settings(self.project.settings)
        with open_session(self.project, now=self.daemon.now) as session:
            plan = make_plan(session, Scope((BOUGHT,), ("1h",)), clients)
            modified = [r for r in plan.requests if r.why.startswith("modified")]
            plan = replace(plan, requests=tuple(modified))
            if not plan.requests:  # it was fetched today
                return
            moves = self.vendor.moves.setdefault(BOUGHT, {})
            moves[day] = moves.get(day, 0) + 1
            approve(session, plan, by="Ada", max_usd=1.0)
        known = set(self.vendor.jobs)
        execute(self.project, plan, clients, clock=lambda: self.daemon.now)
        self.bought_by_person |= set(self.vendor.jobs) - known
        self.expected.append("ops.bar_conflicts")

    def _at_another_time(self, shift: dt.timedelta) -> None:
        right = self.daemon.now
        self.daemon.now = right + shift
        self.daemon.buy()
        self.daemon.load()
        self.daemon.now = right


TROUBLES: Final[tuple[Callable[[Year], None], ...]] = (
    Year.killed_tick, Year.killed_load, Year.killed_purchase, Year.killed_build, Year.lost_answer,
    Year.drive_goes_away, Year.notebook_holds_warehouse, Year.home_is_busy, Year.corrupt_file,
    Year.copy_stops_halfway, Year.full_disk, Year.clock_is_behind, Year.clock_is_ahead,
    Year.pending_day, Year.pending_in_the_job, Year.revised_day,
)  # fmt: skip


def void(_: object) -> None:
    """Return nothing."""


@contextmanager
def begin_year(folder: Path, seed: int, start: dt.date = START) -> Iterator[Year]:
    """Begin a year with a month of published bars, and a standing approval."""
    now = dt.datetime.combine(start, NOON)
    rng = Random(seed)
    drive = folder / "drive"
    drive.mkdir()
    clock: list[Year] = []
    vendor = Vendor(now=lambda: clock[0].daemon.now, looks=1, rng=rng)
    with pytest.MonkeyPatch.context() as patch, run_vendor(vendor), run_endpoint() as endpoint:
        for name, value in {
            "CBI_HOME": folder / "home",
            "CBI_DRIVE": drive,
            "CBI_DATABENTO_ENDPOINT": vendor.url,
            "DATABENTO_API_KEY": vendor.key,
            "CBI_ALERT_URLS": endpoint.url,
            "CBI_ALERT_FREE_GIB": 0,
        }.items():
            patch.setenv(name, str(value))
        patch.chdir(folder)
        project = SmallProject(bigquery=BigQuery()).get()
        with open_daemon(project, now) as daemon:
            year = Year(project, drive, vendor, endpoint, daemon, rng, start - 31 * DAY)
            clock.append(year)
            year.copy()
            span = (year.first, year.today)
            year.copy(
                vendor.add_job(
                    Wanted("GLBX.MDP3", "ohlcv-1h", (f"{BOUGHT}.v.0",), "continuous", *span)
                )
            )
            with open_session(project, now=now) as session:
                grant(
                    session,
                    roots=[BOUGHT],
                    schemas=["ohlcv-1h"],
                    max_usd_per_run=PER_RUN,
                    max_usd_per_month=PER_MONTH,
                    until=dt.date(2026, 12, 31),
                    by="Ada",
                )
            yield year


def live_through(year: Year, mornings: int) -> None:
    """Pass so many mornings, with a trouble on every sixth; then a few more without any."""
    chosen: list[Callable[[Year], None]] = []
    for number in range(mornings):
        if number % 6:
            year.morning()
            continue
        if not chosen:
            chosen = year.rng.sample(TROUBLES, len(TROUBLES))
        year.morning(chosen.pop())
    while year.spent() > PER_MONTH - 4 * USD_PER_DAY:
        year.morning()  # the next month has an amount of its own
    for is_quick in (True, True, False):  # what a call published, a run reports
        year.morning(lambda year: void(year.copy()), is_quick=is_quick)
