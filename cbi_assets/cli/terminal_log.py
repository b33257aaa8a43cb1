"""Log messages in the terminal."""

from __future__ import annotations

import logging


class TerminalHandler(logging.Handler):
    """Prints a record's message on stderr, with its level from WARNING up.

    While a command works, a terminal shows the others on its progress bar. A record below INFO only
    moves that bar: its `done` and `total` say how far.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record, or show it on the bar."""
        from cbi_assets.cli.console import say  # slow to import, unused by `--help`
        from cbi_assets.cli.progress import active

        bar = active()
        if record.levelno >= logging.WARNING:
            say(f"{record.levelname.lower()}: {self.format(record)}")
        elif bar is not None:
            done, total = (getattr(record, name, None) for name in ("done", "total"))
            bar.step(self.format(record), done, total)
        elif record.levelno >= logging.INFO:
            say(self.format(record))


def log_to_terminal() -> None:
    """Print the project's log messages from INFO up, and count steps below that on a bar."""
    log = logging.getLogger("cbi_assets")
    log.setLevel(logging.DEBUG)
    if not any(isinstance(handler, TerminalHandler) for handler in log.handlers):
        log.addHandler(TerminalHandler())
