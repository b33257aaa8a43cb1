"""Find the `@name` parameters of a GoogleSQL text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_TEXT: Final = "|".join(
    (
        r"\'\'\'(?:[^\\]|\\.)*?\'\'\'",
        r'"""(?:[^\\]|\\.)*?"""',
        r"'(?:[^'\\]|\\.)*'",
        r'"(?:[^"\\]|\\.)*"',
        r"`[^`]*`",
        r"(?:--|\#)[^\n]*",
        r"/\*.*?\*/",
    )
)
"""Strings, quoted names and comments, in which `@name` is no parameter."""

_PARAMETER: Final = re.compile(rf"({_TEXT})|@(\w+)", re.DOTALL)


def parameter_names(sql: str) -> list[str]:
    """Return the names of a text's parameters, in the order in which they occur."""
    return [match[2] for match in _PARAMETER.finditer(sql) if match[2]]


def rename_parameters(sql: str, renamed: Callable[[str], str]) -> str:
    """Return the text with other names for its parameters."""
    return _PARAMETER.sub(lambda match: match[1] or f"@{renamed(match[2])}", sql)
