"""Three lights: whether one may load, download and train, each with its reasons and a command.

Green: go ahead. Amber: possible, but a step is due or the data is old. Red: something is wrong, and
comes first. The audit, the commands and Dagster all show these lights.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final, Literal

from cbi_assets.ledger.check_results import CheckResult

Color = Literal["green", "amber", "red"]
LightName = Literal["load", "download", "train"]

LIGHTS_ID: Final = "audit.report"
"""The asset that shows the lights, and stands for a table in the results of their checks."""

LIGHT_CHECKS: Final = {
    "may_load": "One may load: the drive and every file on it are in order, and the books balance.",
    "may_download": "One may download: nothing wanted is missing, or its plan is approved.",
    "may_train": "One may train: the matrix is built and checked, and its data are fresh.",
}
"""The rule of each light's check, in the order of the lights."""

COLORS: Final[tuple[Color, ...]] = ("red", "amber", "green")
"""All colors, worst first."""


@dataclass(frozen=True)
class Reason:
    """Why a light has a color, and the next command."""

    color: Color
    text: str
    command: str


@dataclass(frozen=True)
class Light:
    """One light. Its `reasons` are worst first, and never empty; the first one is shown."""

    name: LightName
    reasons: tuple[Reason, ...]

    @property
    def color(self) -> Color:
        """The color of the worst reason."""
        return self.reasons[0].color

    @property
    def text(self) -> str:
        """The worst reason."""
        return self.reasons[0].text

    @property
    def command(self) -> str:
        """The command for the worst reason."""
        return self.reasons[0].command


@dataclass(frozen=True)
class DataThrough:
    """The trade date through which every root with bars has bars, and the first root to end there.

    `trade_dates_behind` counts that root's trade dates that have closed since.
    """

    date: dt.date
    root: str
    timeframe: str
    trade_dates_behind: int
    text: str


@dataclass(frozen=True)
class Lights:
    """The lights of a home, and the data's end; `through` is None without bars."""

    load: Light
    download: Light
    train: Light
    through: DataThrough | None

    @property
    def all(self) -> tuple[Light, Light, Light]:
        """The lights in the order in which they are shown."""
        return self.load, self.download, self.train

    @property
    def next(self) -> Light:
        """The light to attend to first: of those that are not green, load, train, download."""
        by_need = (self.load, self.train, self.download)
        return next((light for light in by_need if light.color != "green"), self.load)

    def document(self) -> dict[str, Any]:
        """Return the lights as JSON values, dates as they are."""
        through = self.through
        return {
            **{
                light.name: {
                    "color": light.color,
                    "reason": light.text,
                    "command": light.command,
                    "reasons": [vars(reason) for reason in light.reasons],
                }
                for light in self.all
            },
            "data_through": None if through is None else vars(through),
            "next": {"command": self.next.command, "why": self.next.text},
        }


def light_of(name: LightName, reasons: list[Reason], otherwise: Reason) -> Light:
    """Return a light with its reasons, worst first, or with one reason if there are none."""
    ordered = sorted(reasons, key=lambda reason: COLORS.index(reason.color))
    return Light(name, tuple(ordered or (otherwise,)))


def results_of(lights: Lights) -> list[CheckResult]:
    """Return a result per light, which passes if it is green; none of them fails a command."""
    return [
        CheckResult(
            name=name,
            table_id=LIGHTS_ID,
            severity="WARN",
            root="",
            timeframe=None,
            passed=light.color == "green",
            expected="green",
            actual=f"{light.color}: {light.text}",
            offenders=sum(reason.color != "green" for reason in light.reasons),
            sample=[vars(reason) for reason in light.reasons],
            sql="",
        )
        for name, light in zip(LIGHT_CHECKS, lights.all, strict=True)
    ]
