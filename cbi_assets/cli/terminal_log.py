"""Log messages in the terminal."""

from __future__ import annotations

import logging


class TerminalHandler(logging.Handler):
    """Prints a record's message on stderr, with its level from WARNING up."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        from cbi_assets.cli.console import say  # slow to import, unused by `--help`

        level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        say(f"{level}{self.format(record)}")


def log_to_terminal() -> None:
    """Print the project's log messages from INFO up."""
    log = logging.getLogger("cbi_assets")
    log.setLevel(logging.INFO)
    if not any(isinstance(handler, TerminalHandler) for handler in log.handlers):
        log.addHandler(TerminalHandler())
