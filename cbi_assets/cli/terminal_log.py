"""Log messages in the terminal."""

from __future__ import annotations

import logging

from cbi_assets.counted_steps import PROGRESS


class TerminalHandler(logging.Handler):
    """Prints a record's message on stderr, with its level from WARNING up.

    While a command works, a terminal shows the others on its progress bar. A record below INFO is
    shown there only: its `steps` say how far a loop is.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record, or show it on the bar."""
        from cbi_assets.cli.console import say  # slow to import, unused by `--help`
        from cbi_assets.cli.progress import active

        bar = active()
        if record.levelno >= logging.WARNING:
            say(f"{record.levelname.lower()}: {self.format(record)}")
        elif bar is not None:
            bar.step(self.format(record), getattr(record, "steps", None))
        elif record.levelno >= logging.INFO:
            say(self.format(record))


def log_to_terminal() -> None:
    """Print the project's log messages from INFO up, and show steps on a bar."""
    for log, level in ((logging.getLogger("cbi_assets"), logging.INFO), (PROGRESS, logging.DEBUG)):
        log.setLevel(level)
        if not any(isinstance(handler, TerminalHandler) for handler in log.handlers):
            log.addHandler(TerminalHandler())
