"""Log how far a command is. A terminal shows it as a bar, with a rate and the time that remains."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

PROGRESS: Final = logging.getLogger("cbi_progress")
"""Logs steps at DEBUG, each with `steps` if it is one of a loop. Not below `cbi_assets`: of that
logger, Dagster hides everything below INFO while a run is recorded."""


@dataclass(eq=False)
class Steps:
    """How much of a loop is done."""

    total: int
    done: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether all of it is done."""
        return self.done >= self.total


def log_step(title: str) -> None:
    """Log what is done from now on: "reading the lights"."""
    PROGRESS.debug("%s", title)


def log_steps[T](
    items: Collection[T],
    describe: Callable[[T], str],
    *,
    weigh: Callable[[T], int] = lambda item: 1,
    logger: logging.Logger | None = None,
) -> Iterator[T]:
    """Yield the items, and log before each what it is and how much is done.

    Parameters
    ----------
    items : collection
        What to loop over.
    describe : callable
        What the work on an item is: "auditing 3 records of 1h".
    weigh : callable
        How much work an item is, such as its records (default: 1).
    logger : logging.Logger, optional
        Where to log each at INFO, too: in Dagster, and on stderr where there is no bar.
    """
    steps = Steps(sum(map(weigh, items)))
    # of one item, nothing is known before its end
    extra = {"steps": steps} if len(items) > 1 else None
    try:
        for item in items:
            title = describe(item)
            PROGRESS.debug("%s", title, extra=extra)
            if logger is not None:
                logger.info("%s", title)
            yield item
            steps.done += weigh(item)
    finally:
        steps.done = steps.total
